using System.Runtime.InteropServices;

namespace OrleansMq.Cli.Terminal;

/// <summary>
/// Standard output as bytes, unbuffered. The framework's console stream silently drops what is written to a broken pipe, so a command would
/// run forever. A file stream keeps its own position, which is wrong if other programs share the file (<c>(omq ...; echo end) &gt;
/// file</c>). This stream uses write(2) and throws <see cref="BrokenPipeException"/>.
/// </summary>
internal sealed class StandardOutput : Stream
{
    private const int Descriptor = 1;
    private const int BrokenPipe = 32; // EPIPE, the same number on Linux and macOS
    private const int Interrupted = 4; // EINTR
    private readonly Stream? _console = OperatingSystem.IsWindows() ? Console.OpenStandardOutput() : null;
    private static readonly int WouldBlock = OperatingSystem.IsMacOS() ? 35 : 11; // EAGAIN

    /// <inheritdoc/>
    public override bool CanRead => false;
    /// <inheritdoc/>
    public override bool CanSeek => false;
    /// <inheritdoc/>
    public override bool CanWrite => true;
    /// <inheritdoc/>
    public override long Length => throw new NotSupportedException();
    /// <inheritdoc/>
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <inheritdoc/>
    public override void Write(ReadOnlySpan<byte> buffer)
    {
        if (_console is not null)
        {
            _console.Write(buffer);
            return;
        }
        while (!buffer.IsEmpty)
        {
            var written = write(Descriptor, in MemoryMarshal.GetReference(buffer), buffer.Length);
            if (written >= 0)
                buffer = buffer[(int)written..];
            else
                WaitOrThrow(Marshal.GetLastPInvokeError());
        }
    }

    /// <inheritdoc/>
    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));
    /// <inheritdoc/>
    public override void Flush() { }
    /// <inheritdoc/>
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    /// <inheritdoc/>
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    /// <inheritdoc/>
    public override void SetLength(long value) => throw new NotSupportedException();

    private static void WaitOrThrow(int error)
    {
        if (error == BrokenPipe)
            throw new BrokenPipeException();
        if (error == WouldBlock)
            WaitUntilWritable();
        else if (error != Interrupted)
            throw new IOException($"Standard output cannot be written: {Marshal.GetPInvokeErrorMessage(error)}.");
    }

    /// <summary>Waits until output is writable: a terminal or pipe that another program set to non-blocking may be full.</summary>
    private static void WaitUntilWritable()
    {
        var writable = new PollDescriptor { Descriptor = Descriptor, Events = 4 }; // POLLOUT
        _ = poll(ref writable, 1, -1);
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

#pragma warning disable IDE1006, SYSLIB1054 // The C library's own names; no generated marshalling is needed for blittable arguments.
    [DllImport("libc", SetLastError = true)]
    private static extern nint write(int descriptor, in byte buffer, nint count);

    [DllImport("libc", SetLastError = true)]
    private static extern int poll(ref PollDescriptor descriptors, nuint count, int timeoutMs);
#pragma warning restore IDE1006, SYSLIB1054
}
