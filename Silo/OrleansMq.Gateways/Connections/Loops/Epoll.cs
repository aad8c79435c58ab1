using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace OrleansMq.Gateways.Connections.Loops;

/// <summary>The system calls of a loop (Linux).</summary>
internal static unsafe partial class Epoll
{
    /// <summary>Data has arrived.</summary>
    public const uint Readable = 0x1;
    /// <summary>There is room to send.</summary>
    public const uint Writable = 0x4;
    /// <summary>The client sends no more, or the connection is broken or closed (EPOLLRDHUP, EPOLLERR, EPOLLHUP). No further event
    /// follows.</summary>
    public const uint Ended = PeerEnded | 0x8 | 0x10;

    private const uint PeerEnded = 0x2000;
    // One event for each change (EPOLLET).
    private const uint Changes = Readable | Writable | PeerEnded | 0x80000000;
    private const int CloseOnExec = 0x80000;
    private const int NonBlocking = 0x800;
    private const int Add = 1;
    private const int Remove = 2;
    private const int Interrupted = 4;

    /// <summary>Whether these calls work on this system.</summary>
    public static bool IsSupported =>
        OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.Arm64;

    // On x64 an event is packed: 4 bytes of flags, then 8 of data; elsewhere the data is aligned.
    private static int EventBytes => RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 12 : 16;

    private static int KeyOffset => EventBytes - sizeof(ulong);

    /// <summary>Returns what happened in an event.</summary>
    public static uint FlagsOf(byte* events, int index) => *(uint*)(events + (index * EventBytes));

    /// <summary>Returns the key of the descriptor that an event is about.</summary>
    public static ulong KeyOf(byte* events, int index) => *(ulong*)(events + (index * EventBytes) + KeyOffset);

    /// <summary>Opens a set of watched descriptors.</summary>
    public static SafeFileHandle Open() => new(Checked(EpollCreate(CloseOnExec)), ownsHandle: true);

    /// <summary>Opens a descriptor that has an event after each <see cref="Ring"/>.</summary>
    public static SafeFileHandle OpenBell() => new(Checked(EventFd(0, CloseOnExec | NonBlocking)), ownsHandle: true);

    public static void Ring(SafeFileHandle bell)
    {
        var one = 1UL;
        _ = Write(bell, &one, sizeof(ulong));
    }

    /// <summary>Watches a descriptor or a socket from now on. A state that holds already is an event too.</summary>
    public static void Watch(SafeFileHandle epoll, SafeHandle descriptor, ulong key)
    {
        var change = stackalloc byte[16];
        *(uint*)change = Changes;
        *(ulong*)(change + KeyOffset) = key;
        Checked(EpollControl(epoll, Add, descriptor, change));
    }

    /// <summary>Stops watching a descriptor, if it is watched.</summary>
    public static void Forget(SafeFileHandle epoll, SafeHandle descriptor)
    {
        var change = stackalloc byte[16];
        if (!descriptor.IsClosed)
            _ = EpollControl(epoll, Remove, descriptor, change);
    }

    /// <summary>Waits for events; returns 0 where a signal interrupted the wait.</summary>
    public static int Wait(SafeFileHandle epoll, byte* events, int bytes)
    {
        const int forEver = -1;
        var count = EpollWait(epoll, events, bytes / EventBytes, forEver);
        if (count >= 0)
            return count;
        var errno = Marshal.GetLastPInvokeError();
        return errno == Interrupted ? 0 : throw Fault(errno);
    }

    private static SocketException Fault(int errno) => new((int)SocketError.ConnectionReset, Marshal.GetPInvokeErrorMessage(errno));

    private static int Checked(int result) => result >= 0 ? result : throw Fault(Marshal.GetLastPInvokeError());

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    private static partial int EpollCreate(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    private static partial int EpollControl(SafeFileHandle epoll, int what, SafeHandle descriptor, byte* change);

    [LibraryImport("libc", EntryPoint = "epoll_wait", SetLastError = true)]
    private static partial int EpollWait(SafeFileHandle epoll, byte* events, int most, int milliseconds);

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    private static partial int EventFd(uint initial, int flags);

    [LibraryImport("libc", EntryPoint = "write")]
    private static partial nint Write(SafeFileHandle descriptor, void* bytes, nuint count);
}
