using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Storage;

/// <summary>POSIX calls that .NET does not offer, or offers only with an allocation.</summary>
internal static unsafe partial class PosixFiles
{
    // Buffers per call: far below the system's limit (1,024), and small enough for the stack.
    private const int MaxVectors = 64;

    private const int Interrupted = 4;
    private const int InvalidArgument = 22;
    private const int IllegalSeek = 29;
    private const int NotImplemented = 38;

    /// <summary>Whether <see cref="WriteGather"/> is available: file offsets must be 64 bits wide.</summary>
    public static bool HasWriteGather => (OperatingSystem.IsLinux() || OperatingSystem.IsMacOS()) && sizeof(nint) == sizeof(long);

    /// <summary>Makes the file's content and length durable, but not necessarily its times.</summary>
    public static void FlushData(SafeFileHandle file, string path)
    {
        while (FDataSync(file) != 0)
        {
            var errno = Marshal.GetLastPInvokeError();
            if (errno != Interrupted)
                throw Fault("flush", path, errno);
        }
    }

    /// <summary>On Linux, starts to write a range back to the disk, or waits until that is done.</summary>
    public static void WriteBack(SafeFileHandle file, string path, long position, long length, bool wait)
    {
        const uint write = 2, waitBeforeWriteAfter = 1 | 2 | 4;
        while (SyncFileRange(file, position, length, wait ? waitBeforeWriteAfter : write) != 0)
        {
            var errno = Marshal.GetLastPInvokeError();
            if (errno is InvalidArgument or NotImplemented or IllegalSeek)
                return; // Not supported by the file system: the next flush writes everything.
            if (errno != Interrupted)
                throw Fault("write back", path, errno);
        }
    }

    /// <summary>Makes the directory's entries durable.</summary>
    public static void FlushDirectory(string path)
    {
        const int readOnly = 0;
        var closeOnExec = OperatingSystem.IsLinux() ? 0x80000 : OperatingSystem.IsMacOS() ? 0x1000000 : 0x100000;
        var descriptor = OpenPath(path, readOnly | closeOnExec);
        if (descriptor < 0)
            throw Fault("open", path, Marshal.GetLastPInvokeError());
        try
        {
            while (FSync(descriptor) != 0)
            {
                var errno = Marshal.GetLastPInvokeError();
                if (errno == InvalidArgument)
                    return; // File systems that cannot flush directories (some network and FUSE mounts) do not lose entries either.
                if (errno != Interrupted)
                    throw Fault("flush the directory", path, errno);
            }
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    /// <summary>Writes all buffers back to back, with one call per <see cref="MaxVectors"/> of them. Allocates nothing.</summary>
    public static void WriteGather(SafeFileHandle file, string path, IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
    {
        var first = 0;
        var skip = 0; // Bytes of the first buffer already written.
        while (first < buffers.Count)
        {
            var written = WriteVectors(file, path, buffers, first, skip, position);
            position += written;
            written += skip;
            while (first < buffers.Count && written >= buffers[first].Length)
                written -= buffers[first++].Length;
            skip = (int)written;
        }
    }

    private static long WriteVectors(SafeFileHandle file, string path, IReadOnlyList<ReadOnlyMemory<byte>> buffers, int first, int skip,
        long position)
    {
        var count = Math.Min(buffers.Count - first, MaxVectors);
        var vectors = stackalloc Vector[MaxVectors];
        var pins = new Pins();
        var total = 0L;
        try
        {
            for (var i = 0; i < count; i++)
            {
                var buffer = i == 0 ? buffers[first][skip..] : buffers[first + i];
                pins[i] = buffer.Pin();
                vectors[i] = new Vector { Base = pins[i].Pointer, Length = (nuint)buffer.Length };
                total += buffer.Length;
            }
            while (total > 0)
            {
                var written = PWriteV(file, vectors, count, position);
                if (written > 0)
                    return written;
                var errno = Marshal.GetLastPInvokeError();
                if (written == 0)
                    throw new IOException($"The system wrote none of {total} bytes to '{path}'. Check the volume and its mount options.");
                if (errno != Interrupted)
                    throw Fault("write", path, errno);
            }
            return 0;
        }
        finally
        {
            for (var i = 0; i < count; i++)
                pins[i].Dispose();
        }
    }

    private static IOException Fault(string action, string path, int errno) => DiskFaults.IsDiskFull(errno)
        ? new DiskFullException(path, new IOException(Marshal.GetPInvokeErrorMessage(errno), errno))
        : new IOException($"Cannot {action} '{path}': {Marshal.GetPInvokeErrorMessage(errno)} (error {errno}).", errno);

    /// <summary><c>struct iovec</c>.</summary>
    private struct Vector
    {
        public void* Base;
        public nuint Length;
    }

    [InlineArray(MaxVectors)]
    private struct Pins
    {
        private MemoryHandle _first;
    }

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int FDataSync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "sync_file_range", SetLastError = true)]
    private static partial int SyncFileRange(SafeFileHandle file, long position, long length, uint flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(int descriptor);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenPath(string path, int flags);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "pwritev", SetLastError = true)]
    private static partial nint PWriteV(SafeFileHandle file, Vector* vectors, int count, long position);
}
