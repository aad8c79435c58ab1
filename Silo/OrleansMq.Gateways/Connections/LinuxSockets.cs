using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Connections;

/// <summary>Linux' socket calls that .NET does not offer. Only for non-blocking sockets, which every socket is after .NET has received from
/// it asynchronously.</summary>
internal static unsafe partial class LinuxSockets
{
    private const int Interrupted = 4;
    private const int WouldBlock = 11;
    private const int BadDescriptor = 9;
    private const int InvalidArgument = 22;
    private const int BrokenPipe = 32;
    private const int NotImplemented = 38;
    private const int ConnectionReset = 104;
    private const int NotConnected = 107;
    private const int TimedOut = 110;

    private const int DontWait = 0x40; // MSG_DONTWAIT
    private const int NoSignal = 0x4000; // MSG_NOSIGNAL
    private const int More = 0x8000; // MSG_MORE
    // With one call; the system would take 1,024.
    private const int MaxPieces = 256;

    /// <summary>Whether <see cref="SendMore"/> and <see cref="SendFile"/> work on this system: file offsets must be 64 bits wide.</summary>
    public static bool IsSupported { get; } = OperatingSystem.IsLinux() && sizeof(nint) == sizeof(long);

    /// <summary>The outcome of a call.</summary>
    public enum Outcome
    {
        /// <summary>Some or all bytes were sent.</summary>
        Sent = 0,
        /// <summary>Nothing was sent: there is no room before the client receives something.</summary>
        Full = 1,
        /// <summary>Nothing was sent: this file or this system does not support the call.</summary>
        Unsupported = 2,
    }

    /// <summary>Receives what has arrived.</summary>
    /// <returns>-1 where nothing has arrived; 0 at the end.</returns>
    /// <exception cref="SocketException">The connection is broken.</exception>
    public static int Receive(SafeSocketHandle socket, Span<byte> into)
    {
        fixed (byte* start = into)
        {
            nint done;
            while ((done = CallReceive(socket, start, (nuint)into.Length, DontWait)) < 0 && Marshal.GetLastPInvokeError() == Interrupted)
            {
            }
            return OutcomeOf(done, out var received) == Outcome.Sent ? received : -1;
        }
    }

    /// <summary>Sends as much as there is room for.</summary>
    /// <returns>-1 where there is no room.</returns>
    /// <exception cref="SocketException">The connection has ended.</exception>
    public static int Send(SafeSocketHandle socket, ReadOnlySpan<byte> bytes) =>
        Send(socket, bytes, 0, out var sent) == Outcome.Sent ? sent : -1;

    /// <summary>Sends as much of the pieces as there is room for, with one call. On a non-blocking socket .NET's own call does not report
    /// what it sent before the room was used up.</summary>
    /// <returns>-1 where there is no room.</returns>
    /// <exception cref="SocketException">The connection has ended.</exception>
    public static int Send(SafeSocketHandle socket, List<ArraySegment<byte>> pieces)
    {
        var count = Math.Min(pieces.Count, MaxPieces);
        var vectors = stackalloc Vector[MaxPieces];
        var pins = new GCHandle[count];
        try
        {
            for (var i = 0; i < count; i++)
            {
                pins[i] = GCHandle.Alloc(pieces[i].Array, GCHandleType.Pinned);
                vectors[i] = new Vector { Base = (byte*)pins[i].AddrOfPinnedObject() + pieces[i].Offset, Length = (nuint)pieces[i].Count };
            }
            var message = new Message { Vectors = vectors, VectorCount = (nuint)count };
            nint done;
            while ((done = CallSendMessage(socket, &message, DontWait | NoSignal)) < 0 && Marshal.GetLastPInvokeError() == Interrupted)
            {
            }
            return OutcomeOf(done, out var sent) == Outcome.Sent ? sent : -1;
        }
        finally
        {
            foreach (var pin in pins)
            {
                if (pin.IsAllocated)
                    pin.Free();
            }
        }
    }

    /// <summary>Sends bytes that others follow at once, so that both can share a packet.</summary>
    /// <exception cref="SocketException">The connection has ended.</exception>
    public static Outcome SendMore(Socket socket, ReadOnlySpan<byte> bytes, out int sent) => Send(socket.SafeHandle, bytes, More, out sent);

    /// <summary>Lets the system send bytes of a file from its page cache, without a copy through this process.</summary>
    /// <exception cref="SocketException">The connection has ended.</exception>
    /// <exception cref="IOException">The disk failed, or the file was truncated.</exception>
    public static Outcome SendFile(Socket socket, SafeFileHandle handle, string path, long position, int count, out int sent)
    {
        nint done;
        while ((done = CallSendFile(socket.SafeHandle, handle, ref position, (nuint)count)) < 0
            && Marshal.GetLastPInvokeError() == Interrupted)
        {
        }
        sent = (int)Math.Max(done, 0);
        return done switch
        {
            > 0 => Outcome.Sent,
            0 => throw RecordSlice.EndsTooEarly(path, position),
            _ => OutcomeOf(Marshal.GetLastPInvokeError(), path),
        };
    }

    private static Outcome Send(SafeSocketHandle socket, ReadOnlySpan<byte> bytes, int flags, out int sent)
    {
        fixed (byte* start = bytes)
        {
            nint done;
            while ((done = CallSend(socket, start, (nuint)bytes.Length, DontWait | NoSignal | flags)) < 0
                && Marshal.GetLastPInvokeError() == Interrupted)
            {
            }
            return OutcomeOf(done, out sent);
        }
    }

    private static Outcome OutcomeOf(nint done, out int sent)
    {
        sent = (int)Math.Max(done, 0);
        return done >= 0 ? Outcome.Sent : OutcomeOf(Marshal.GetLastPInvokeError(), file: null);
    }

    private static Outcome OutcomeOf(int error, string? file) => error switch
    {
        WouldBlock => Outcome.Full,
        InvalidArgument or NotImplemented when file is not null => Outcome.Unsupported,
        BrokenPipe or ConnectionReset or NotConnected or TimedOut or BadDescriptor =>
            throw new SocketException((int)SocketError.ConnectionReset),
        _ when file is null =>
            throw new SocketException((int)SocketError.SocketError,
                $"The system refused with error {error}: {Marshal.GetPInvokeErrorMessage(error)}."),
        _ => throw new IOException($"'{file}' could not be sent: {Marshal.GetPInvokeErrorMessage(error)} (system error {error})."),
    };

    private struct Vector
    {
        public void* Base;
        public nuint Length;
    }

    // struct msghdr of 64-bit Linux.
    private struct Message
    {
        public void* Name;
        public nuint NameLength;
        public Vector* Vectors;
        public nuint VectorCount;
        public void* Control;
        public nuint ControlLength;
        public nuint Flags;
    }

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    private static partial nint CallSendMessage(SafeSocketHandle socket, Message* message, int flags);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    private static partial nint CallReceive(SafeSocketHandle socket, byte* bytes, nuint count, int flags);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    private static partial nint CallSend(SafeSocketHandle socket, byte* bytes, nuint count, int flags);

    [LibraryImport("libc", EntryPoint = "sendfile", SetLastError = true)]
    private static partial nint CallSendFile(SafeSocketHandle socket, SafeFileHandle file, ref long position, nuint count);
}
