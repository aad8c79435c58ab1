using System.Buffers.Binary;
using System.Runtime.InteropServices;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;

namespace OrleansMq.Tests.Benchmarks.Peers;

/// <summary>Keeps the machine's free memory resident. A virtual machine may return free pages to its host within a second (free page
/// reporting). Touching such a page again takes up to nine times as long as writing it, and which contender is hit is chance. Only blocks
/// of adjacent pages are returned. So this class touches all free pages once and keeps one page of each block in a pipe, where the kernel
/// cannot move it. All other pages stay free.</summary>
internal sealed unsafe class HeldMemory : IDisposable
{
    private const int PageBytes = 4096;
    private const int PagesInPiece = 16_384;

    // With the finest setting (page_reporting_order 5) free blocks of this many adjacent pages are returned; by default larger ones.
    private const int PagesInBlock = 32;

    // With less than this share of memory free, the kernel reclaims pages of programs.
    private const int SpareShare = 128;

    private readonly HashSet<ulong> _blocks = [];
    private readonly List<int> _pipes = [];
    private int _room;

    /// <summary>What this machine lacks; null if nothing.</summary>
    public static string? Lacks => OperatingSystem.IsLinux() && Environment.SystemPageSize == PageBytes && Environment.IsPrivilegedProcess
        ? null : "only for root on Linux with pages of 4 KiB";

    /// <summary>The number of pages kept.</summary>
    public int Pages => _blocks.Count;

    /// <summary>Touches all free memory, which takes 30 to 90 s for 20 GB, and releases all but a page in each block.</summary>
    /// <exception cref="IOException">The system refuses it.</exception>
    public void Take(CancellationToken cancellationToken)
    {
        var pieces = new List<nint>();
        try
        {
            var spare = ProcessFigures.MachineMemory("MemTotal") / SpareShare;
            while (ProcessFigures.MachineMemory("MemFree") >= spare + ((long)PagesInPiece * PageBytes))
            {
                cancellationToken.ThrowIfCancellationRequested();
                pieces.Add(Touched());
            }
            using var pages = new FileStream("/proc/self/pagemap", FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
            var frames = new byte[sizeof(ulong) * PagesInPiece];
            foreach (var piece in pieces)
            {
                pages.Position = piece / PageBytes * sizeof(ulong);
                pages.ReadExactly(frames);
                KeepOneOfEachBlock((byte*)piece, frames);
            }
        }
        finally
        {
            foreach (var piece in pieces)
                ThrowIfFailed(Unmap((byte*)piece, (nuint)PagesInPiece * PageBytes), "munmap");
        }
    }

    public void Dispose()
    {
        foreach (var pipe in _pipes)
            _ = Close(pipe);
        _pipes.Clear();
        _blocks.Clear();
    }

    private static nint Touched()
    {
        const nuint bytes = (nuint)PagesInPiece * PageBytes;
        var piece = Map(null, bytes, ReadWrite, PrivateAnonymous, -1, 0);
        if (piece == (byte*)-1)
            throw Failed("mmap");
        ThrowIfFailed(Advise(piece, bytes, NoHugePages), "madvise");
        for (var page = 0; page < PagesInPiece; page++)
            piece[(long)page * PageBytes] = 1;
        return (nint)piece;
    }

    private void KeepOneOfEachBlock(byte* piece, byte[] frames)
    {
        const ulong isPresent = 1UL << 63, frameBits = (1UL << 55) - 1;
        for (var page = 0; page < PagesInPiece; page++)
        {
            var entry = BinaryPrimitives.ReadUInt64LittleEndian(frames.AsSpan(page * sizeof(ulong)));
            if ((entry & isPresent) != 0 && _blocks.Add((entry & frameBits) / PagesInBlock))
                Keep(piece + ((long)page * PageBytes));
        }
    }

    private void Keep(byte* page)
    {
        if (_room == 0)
            _room = AddPipe();
        var one = new Vector { Start = page, Length = PageBytes };
        if (Splice(_pipes[^1], &one, 1, NonBlocking) != PageBytes)
            throw Failed("vmsplice");
        _room--;
    }

    // Returns the number of pages that the pipe takes.
    private int AddPipe()
    {
        var ends = stackalloc int[2];
        ThrowIfFailed(Pipe(ends, CloseOnExec), "pipe2");
        _pipes.Add(ends[0]);
        _pipes.Add(ends[1]);
        var bytes = Control(ends[1], SetPipeSize, int.Parse(File.ReadAllText("/proc/sys/fs/pipe-max-size")));
        ThrowIfFailed(bytes, "fcntl(F_SETPIPE_SZ)");
        return bytes / PageBytes;
    }

    private static void ThrowIfFailed(int result, string call)
    {
        if (result < 0)
            throw Failed(call);
    }

    private static IOException Failed(string call) => new($"--hold-memory: {call} failed: {Marshal.GetLastPInvokeErrorMessage()}.");

    private const int ReadWrite = 1 | 2; // PROT_READ | PROT_WRITE
    private const int PrivateAnonymous = 2 | 0x20; // MAP_PRIVATE | MAP_ANONYMOUS
    private const int NoHugePages = 15; // MADV_NOHUGEPAGE
    private const int CloseOnExec = 0x80000; // O_CLOEXEC
    private const int SetPipeSize = 1031; // F_SETPIPE_SZ
    private const uint NonBlocking = 2; // SPLICE_F_NONBLOCK

    // struct iovec
    private struct Vector
    {
        public byte* Start;
        public nuint Length;
    }

    [DllImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static extern byte* Map(void* address, nuint length, int protection, int flags, int file, long offset);

    [DllImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static extern int Unmap(byte* address, nuint length);

    [DllImport("libc", EntryPoint = "madvise", SetLastError = true)]
    private static extern int Advise(byte* address, nuint length, int advice);

    [DllImport("libc", EntryPoint = "pipe2", SetLastError = true)]
    private static extern int Pipe(int* ends, int flags);

    [DllImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static extern int Control(int file, int command, int argument);

    [DllImport("libc", EntryPoint = "vmsplice", SetLastError = true)]
    private static extern nint Splice(int file, Vector* pages, nuint count, uint flags);

    [DllImport("libc", EntryPoint = "close", SetLastError = true)]
    private static extern int Close(int file);
}
