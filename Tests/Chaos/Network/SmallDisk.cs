using System.Diagnostics;

namespace OrleansMq.Tests.Chaos.Network;

/// <summary>A disk in memory, small enough to be filled, mounted over a directory. Only root can mount one.</summary>
internal sealed class SmallDisk : IDisposable
{
    private const int MegaBytes = 400;

    private readonly string _directory;

    private SmallDisk(string directory) => _directory = directory;

    /// <summary>Mounts a disk, or returns null if that is not possible.</summary>
    public static SmallDisk? TryMount(string directory)
    {
        Directory.CreateDirectory(directory);
        return OperatingSystem.IsLinux() && Environment.IsPrivilegedProcess
            && Run("mount", "-t", "tmpfs", "-o", $"size={MegaBytes}m", "tmpfs", directory)
            ? new SmallDisk(directory)
            : null;
    }

    private string Ballast => Path.Combine(_directory, "ballast");

    /// <summary>Fills the disk to the last byte.</summary>
    public void Fill()
    {
        using var file = new FileStream(Ballast, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        var piece = new byte[1 << 16];
        try
        {
            while (true)
                file.Write(piece);
        }
        catch (IOException)
        {
            // It is full.
        }
    }

    public void Clear() => File.Delete(Ballast);

    public void Dispose() => Run("umount", "-l", _directory);

    private static bool Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0;
    }
}
