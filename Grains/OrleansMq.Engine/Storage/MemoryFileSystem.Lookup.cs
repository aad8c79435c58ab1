using System.Diagnostics.CodeAnalysis;

namespace OrleansMq.Storage;

// Resolution of paths to nodes. Called under the lock.
internal sealed partial class MemoryFileSystem
{
    private static string[] Split(string path) =>
        Path.GetFullPath(path).Split([Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar], StringSplitOptions.RemoveEmptyEntries);

    private bool TryFind(string path, [NotNullWhen(true)] out object? node)
    {
        node = _root;
        foreach (var name in Split(path))
        {
            if (node is not MemoryDirectory directory || !directory.Entries.TryGetValue(name, out node))
            {
                node = null;
                return false;
            }
        }
        return true;
    }

    private MemoryInode FindFile(string path) =>
        TryFind(path, out var node) ? AsFile(node, path) : throw new FileNotFoundException($"There is no file '{path}'.", path);

    private static MemoryInode AsFile(object node, string path) =>
        node as MemoryInode ?? throw new UnauthorizedAccessException($"'{path}' is a directory, not a file.");

    private MemoryDirectory FindDirectory(string path) =>
        TryFind(path, out var node) && node is MemoryDirectory directory
            ? directory
            : throw new DirectoryNotFoundException($"There is no directory '{path}'.");

    private (MemoryDirectory Parent, string Name) FindParent(string path)
    {
        var full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        var parent = Path.GetDirectoryName(full) ?? throw new IOException($"'{path}' has no parent directory.");
        return (FindDirectory(parent), Path.GetFileName(full));
    }
}
