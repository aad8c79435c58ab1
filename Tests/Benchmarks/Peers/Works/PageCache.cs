using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Tests.Benchmarks.Peers.Works;

/// <summary>Drops files from the page cache, so that the next read comes from disk. Linux only; mapped pages stay.</summary>
internal static class PageCache
{
    private const int DontNeed = 4; // POSIX_FADV_DONTNEED

    /// <summary>Drops all files of a directory from the page cache, after flushing them, since the kernel keeps dirty pages.</summary>
    public static void Drop(string directory)
    {
        // An empty file may be the broker's lock, and has no pages.
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
