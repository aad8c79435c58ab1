using System.Runtime.InteropServices;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;

namespace OrleansMq.Tests.Benchmarks.Peers;

/// <summary>
/// Holds the machine's free memory between runs and lets go of it, a piece at a time, as a run takes some. A virtual machine may give free pages back to its host (free page reporting) within a
/// second; the host then has to find one again when it is touched, which takes up to nine times as long as writing the page does, and which contender meets such pages is chance. What was let go
/// of just now is what the kernel hands out next, and is still there.
/// </summary>
internal sealed unsafe class HeldMemory : IDisposable
{
    private const int PageBytes = 4096;
    private const long PieceBytes = 64L << 20;

    // With less than this share of all memory free the kernel takes from the programs' own pages, and the machine stands still.
    private const int SpareShare = 64;
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(10);

    private readonly long _leastFree = ProcessFigures.MachineMemory("MemTotal") / SpareShare;
    private readonly Lock _lock = new();
    private readonly Stack<nint> _held = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread _watcher;

    public HeldMemory()
    {
        _watcher = new Thread(LetGoAsItIsTaken) { IsBackground = true, Name = "held memory" };
        _watcher.Start();
    }

    /// <summary>What it needs and does not find on this machine.</summary>
    public static string? Lacks => OperatingSystem.IsLinux() && Environment.SystemPageSize == PageBytes ? null : "only for Linux with pages of 4 KiB";

    /// <summary>Takes what is free now: a minute for 20 GB that the host has to find, a second or two of it where little was let go of since the last time.</summary>
    public void Take(CancellationToken cancellationToken)
    {
        while (ProcessFigures.MachineMemory("MemFree") >= _leastFree + (3 * PieceBytes))
        {
            cancellationToken.ThrowIfCancellationRequested();
            var piece = Map(null, (nuint)PieceBytes, ReadWrite, PrivateAnonymous, -1, 0);
            if (piece == (byte*)-1)
                throw new IOException($"mmap of {PieceBytes} bytes failed with {Marshal.GetLastPInvokeError()}.");
            for (var at = 0L; at < PieceBytes; at += PageBytes)
                piece[at] = 1;
            lock (_lock)
                _held.Push((nint)piece);
        }
    }

    public void Dispose()
    {
        _stop.Cancel();
        _watcher.Join();
        while (_held.TryPop(out var piece))
            LetGo(piece);
        _stop.Dispose();
    }

    private void LetGoAsItIsTaken()
    {
        while (!_stop.Token.WaitHandle.WaitOne(LookEvery))
        {
            for (var missing = _leastFree - ProcessFigures.MachineMemory("MemFree"); missing > 0; missing -= PieceBytes)
            {
                nint piece;
                lock (_lock)
                {
                    if (!_held.TryPop(out piece))
                        break;
                }
                LetGo(piece);
            }
        }
    }

    private static void LetGo(nint piece)
    {
        if (Unmap((byte*)piece, (nuint)PieceBytes) != 0)
            throw new IOException($"munmap failed with {Marshal.GetLastPInvokeError()}.");
    }

    private const int ReadWrite = 1 | 2; // PROT_READ | PROT_WRITE
    private const int PrivateAnonymous = 2 | 0x20; // MAP_PRIVATE | MAP_ANONYMOUS

    [DllImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static extern byte* Map(void* address, nuint length, int protection, int flags, int file, long offset);

    [DllImport("libc", EntryPoint = "munmap", SetLastError = true)]
    private static extern int Unmap(byte* address, nuint length);
}
