using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Storage;

/// <summary>Queries the page cache of Linux with <c>cachestat(2)</c>, available from 6.5 on.</summary>
internal static unsafe partial class PageCache
{
    // The number is the same on all architectures.
    private const nint CacheStat = 451;

    private static readonly int _pageBytes = Environment.SystemPageSize;
    private static volatile bool _isUnknown = sizeof(nint) != sizeof(long);

    /// <summary>Whether every page of a range is in the cache; false if the system cannot tell.</summary>
    public static bool Holds(SafeFileHandle file, long position, long length)
    {
        if (_isUnknown || length <= 0)
            return false;
        var range = new Range { Position = (ulong)position, Length = (ulong)length };
        Pages pages = default;
        var added = false;
        try
        {
            file.DangerousAddRef(ref added);
            if (SystemCall(CacheStat, file.DangerousGetHandle(), &range, &pages, 0) != 0)
            {
                // The kernel is too old, or a sandbox forbids the call.
                _isUnknown = true;
                return false;
            }
        }
        finally
        {
            if (added)
                file.DangerousRelease();
        }
        return pages.Cached >= (ulong)((position + length - 1) / _pageBytes - position / _pageBytes + 1);
    }

    /// <summary><c>struct cachestat_range</c>.</summary>
    private struct Range
    {
        public ulong Position;
        public ulong Length;
    }

    /// <summary><c>struct cachestat</c>.</summary>
    private struct Pages
    {
        public ulong Cached;
        public ulong Dirty;
        public ulong WrittenBack;
        public ulong Evicted;
        public ulong RecentlyEvicted;
    }

    [LibraryImport("libc", EntryPoint = "syscall")]
    private static partial nint SystemCall(nint number, nint file, Range* range, Pages* pages, nint flags);
}
