using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Makes files cold: what is read next comes from the disk. Only on Linux; what a process has mapped stays.</summary>
internal static class PageCache
{
    private const int DontNeed = 4; // POSIX_FADV_DONTNEED

    /// <summary>Drops all files of a directory from the page cache, after what was written to them is on the disk: the kernel keeps other
    /// pages.</summary>
    public static void Drop(string directory)
    {
        // An empty one may be the broker's lock, and has no pages.
        foreach (var file in new DirectoryInfo(directory).EnumerateFiles("*", SearchOption.AllDirectories).Where(file => file.Length > 0))
        {
            using var handle = File.OpenHandle(file.FullName, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            RandomAccess.FlushToDisk(handle);
            if (Advise(handle, 0, 0, DontNeed) is not 0 and var error)
                throw new IOException($"posix_fadvise of {file.FullName} failed with {error}.");
        }
    }

    [DllImport("libc", EntryPoint = "posix_fadvise")]
    private static extern int Advise(SafeFileHandle file, long offset, long length, int advice);
}
