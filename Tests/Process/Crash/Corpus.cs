using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace OrleansMq.Tests.Process.Crash;

/// <summary>A large amount of real text: the XML documentation of the .NET packs installed with the SDK.</summary>
internal static class Corpus
{
    /// <summary>Writes all files into one, in the order of their names, each line ended by a line feed.</summary>
    /// <param name="path">The file.</param>
    /// <param name="most">The number of lines after which no further file is written.</param>
    /// <returns>The number of lines.</returns>
    public static long WriteTo(string path, long most)
    {
        using var target = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20);
        var lines = 0L;
        foreach (var file in Files())
        {
            if (lines >= most)
                break;
            var bytes = File.ReadAllBytes(file);
            target.Write(bytes);
            lines += bytes.AsSpan().Count((byte)'\n');
            if (bytes is [.., not (byte)'\n'])
            {
                target.WriteByte((byte)'\n');
                lines++;
            }
        }
        return lines;
    }

    /// <summary>Returns a fingerprint of each line of a file. Lines are compared by these, so that a million of them fit in
    /// memory.</summary>
    public static UInt128[] Fingerprints(string path)
    {
        var fingerprints = new List<UInt128>(1 << 20);
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 20);
        var line = new List<byte>(1 << 10);
        var buffer = new byte[1 << 20];
        Span<byte> hash = stackalloc byte[MD5.HashSizeInBytes];
        for (int read; (read = file.Read(buffer)) > 0;)
        {
            var rest = buffer.AsSpan(0, read);
            for (int end; (end = rest.IndexOf((byte)'\n')) >= 0; rest = rest[(end + 1)..])
            {
                line.AddRange(rest[..end]);
                MD5.HashData(CollectionsMarshal.AsSpan(line), hash);
                fingerprints.Add(MemoryMarshal.Read<UInt128>(hash));
                line.Clear();
            }
            line.AddRange(rest);
        }
        Assert.Empty(line);
        return [.. fingerprints];
    }

    /// <summary>Finds the files: the packs lie beside the runtime's <c>shared</c> folder, three levels above its assemblies.</summary>
    private static IEnumerable<string> Files()
    {
        var packs = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "packs"));
        Skip.IfNot(Directory.Exists(packs), $"This .NET has no packs with documentation in {packs}.");
        var files = Directory.EnumerateFiles(packs, "*.xml", SearchOption.AllDirectories).Order(StringComparer.Ordinal).ToList();
        Skip.If(files.Count == 0, $"There is no XML documentation in {packs}.");
        return files;
    }
}
