using System.IO.Pipelines;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;

namespace OrleansMq.Connections;

/// <summary>
/// One of Orleans' connections over a socket of ours: the same bytes as over Orleans' own, in larger pieces. What comes is received into
/// large blocks and handed on by the thread that received it; what is sent is sent by the thread that wrote it, as far as the socket takes
/// it.
/// <para>It ends when the other side does, when <see cref="Abort"/> is called, or when its writer completes: then the socket is closed,
/// <c>ConnectionClosed</c> is cancelled, and <see cref="DisposeAsync"/> waits for both loops.</para>
/// </summary>
internal sealed class SocketConnection : DefaultConnectionContext
{
    // Where less than that is left of a block, the next one is begun.
    private const int LeastReceive = 1 << 10;

    /// <summary>The most bytes of a connection's beginning that are kept. What Orleans says first of the side that connects is in
    /// them.</summary>
    public const int MostBeginning = 1 << 10;

    private readonly Socket _socket;
    private readonly Action<byte[]>? _ended;
    private readonly AdaptiveBlocks _received = new();
    private readonly AdaptiveBlocks _sent = new();
    private readonly CancellationTokenSource _closed = new();
    private readonly Lock _lock = new();
    // Why the socket was closed on this side; null while it is open.
    private Exception? _reason;
    private Task _running = Task.CompletedTask;

    /// <summary>A connection over a socket that is connected. <see cref="Start"/> begins.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="ended">Called when the connection has ended, with the first bytes that it received; null for nothing.</param>
    public SocketConnection(Socket socket, Action<byte[]>? ended = null) : base(Guid.NewGuid().ToString("N"))
    {
        _socket = socket;
        _ended = ended;
        (LocalEndPoint, RemoteEndPoint) = (socket.LocalEndPoint, socket.RemoteEndPoint);
        ConnectionClosed = _closed.Token;
        var (input, output) = (new Pipe(Options(_received)), new Pipe(Options(_sent)));
        Transport = new Ends(input.Reader, new RoomyWriter(output.Writer, _sent));
        Application = new Ends(output.Reader, input.Writer);
    }

    /// <summary>Begins to receive and to send.</summary>
    public void Start() => _running = Task.WhenAll(ReceiveAsync(), SendAsync());

    /// <inheritdoc/>
    public override void Abort(ConnectionAbortedException abortReason)
    {
        Close(abortReason);
        Application!.Input.CancelPendingRead();
    }

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        await Transport.Input.CompleteAsync().ConfigureAwait(false);
        await Transport.Output.CompleteAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        _closed.Dispose();
        await base.DisposeAsync().ConfigureAwait(false);
    }

    // No bound of its own: Orleans bounds neither what waits to be sent nor what was received and is not read.
    private static PipeOptions Options(AdaptiveBlocks blocks) =>
        new(blocks, PipeScheduler.Inline, PipeScheduler.Inline, pauseWriterThreshold: 0, resumeWriterThreshold: 0, AdaptiveBlocks.Smallest,
            useSynchronizationContext: false);

    private async Task ReceiveAsync()
    {
        var input = Application!.Output;
        Exception? fault = null;
        byte[]? beginning = null;
        try
        {
            await Task.Yield();
            var mayHold = true;
            while (true)
            {
                // A connection that waits holds no large block.
                if (!mayHold)
                    await _socket.ReceiveAsync(Memory<byte>.Empty, SocketFlags.None).ConfigureAwait(false);
                var memory = input.GetMemory(LeastReceive);
                var bytes = await _socket.ReceiveAsync(memory, SocketFlags.None).ConfigureAwait(false);
                if (bytes == 0)
                    break;
                if (_ended is not null)
                    beginning ??= memory.Span[..Math.Min(bytes, MostBeginning)].ToArray();
                input.Advance(bytes);
                Adapt(bytes, memory.Length);
                mayHold = bytes == memory.Length || _received.BlockBytes == AdaptiveBlocks.Smallest;
                var flushed = await input.FlushAsync().ConfigureAwait(false);
                if (flushed.IsCompleted || flushed.IsCanceled)
                    break;
            }
        }
        catch (Exception broken) when (broken is SocketException or ObjectDisposedException)
        {
            fault = FaultOf(broken);
        }
        finally
        {
            await input.CompleteAsync(Volatile.Read(ref _reason) ?? fault).ConfigureAwait(false);
            await _closed.CancelAsync().ConfigureAwait(false);
            if (beginning is not null)
                _ended!(beginning);
        }
    }

    private void Adapt(int bytes, int offered)
    {
        if (bytes == offered)
            _received.BlockBytes = Math.Min(4 * _received.BlockBytes, AdaptiveBlocks.Largest);
        else if (bytes < _received.BlockBytes / 64)
            _received.BlockBytes = Math.Max(_received.BlockBytes / 2, AdaptiveBlocks.Smallest);
    }

    private async Task SendAsync()
    {
        var output = Application!.Input;
        Exception? fault = null;
        try
        {
            while (true)
            {
                var result = await output.ReadAsync().ConfigureAwait(false);
                if (result.IsCanceled)
                    break;
                var buffer = result.Buffer;
                foreach (var piece in buffer)
                    await SendAsync(piece).ConfigureAwait(false);
                output.AdvanceTo(buffer.End);
                if (result.IsCompleted)
                    break;
            }
        }
        catch (Exception broken) when (broken is SocketException or ObjectDisposedException)
        {
            fault = FaultOf(broken);
        }
        finally
        {
            Close(fault ?? new ConnectionAbortedException("This side has ended the connection."));
            // No memory is given back before the socket is closed.
            await output.CompleteAsync().ConfigureAwait(false);
            Application.Output.CancelPendingFlush();
        }
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> piece)
    {
        while (!piece.IsEmpty)
            piece = piece[await _socket.SendAsync(piece, SocketFlags.None).ConfigureAwait(false)..];
    }

    private void Close(Exception reason)
    {
        lock (_lock)
        {
            if (_reason is not null)
                return;
            _reason = reason;
        }
        try
        {
            _socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // The other side was first.
        }
        _socket.Dispose();
    }

    private static Exception FaultOf(Exception broken) =>
        broken is SocketException reset && IsReset(reset) ? new ConnectionResetException(reset.Message, reset) : broken;

    private static bool IsReset(SocketException exception) =>
        exception.SocketErrorCode is SocketError.ConnectionReset or SocketError.Shutdown
        || (OperatingSystem.IsWindows() && exception.SocketErrorCode is SocketError.ConnectionAborted);

    private sealed class Ends(PipeReader input, PipeWriter output) : IDuplexPipe
    {
        public PipeReader Input => input;

        public PipeWriter Output => output;
    }
}
