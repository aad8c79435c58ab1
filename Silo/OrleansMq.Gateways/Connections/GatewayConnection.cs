using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Connections.Loops;
using OrleansMq.Partitions;

namespace OrleansMq.Gateways.Connections;

/// <summary>
/// One client's connection: it receives frames into pooled memory, hands them to the protocol one after the other, and sends the responses
/// in order. A protocol derives from it. The protocol states how long a frame is (<see cref="HeadBytes"/>, <see cref="LengthOf"/>), begins
/// what a frame asks for (<see cref="BeginAsync"/>), and adds responses to <see cref="Responses"/>.
/// </summary>
internal abstract class GatewayConnection : IServedConnection
{
    // A client that is no longer to be held back is read again within that time.
    private static readonly TimeSpan MuteSlice = TimeSpan.FromSeconds(5);

    private readonly ConnectionServer _server;
    private readonly ClientSocket _socket;
    private readonly FrameReader _frames;
    private readonly ResponseSender _sender;
    private readonly ReceivePace _pace;
    private readonly SendPace _sendPace;
    // Also cancelled when the client disconnects: its requests that have arrived are served, but nothing waits for long.
    private readonly CancellationTokenSource _aborted = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly ByteBudget _inFlight;
    // What this connection has brought in the current iteration of its loop.
    private (long Iteration, long Bytes) _share;
    // Appends whose requests arrived together, where the thread pool serves the connection.
    private readonly AppendBurst _burst = new();
    // The frame that is being received.
    private volatile RequestFrame? _receiving;
    // Receives while a response is waited for; the next frame is read after it.
    private Task? _watching;
    private volatile bool _isStopping;
    private volatile bool _isBeginning;
    private long _lastActivity;
    // The timestamp until which no further frame is read; 0 for none.
    private long _mutedUntil;

    protected GatewayConnection(ConnectionServer server, AcceptedClient client)
    {
        (_server, _socket, LocalEndPoint, RemoteEndPoint) = (server, client.Socket, client.Local, client.Remote);
        (Listener, CertificatePrincipal) = (client.Listener, client.CertificatePrincipal);
        _inFlight = new ByteBudget(server.Limits.MaxInFlightBytesPerConnection);
        _sender = new ResponseSender(_socket, server.Pieces);
        _pace = new ReceivePace(server.TimeProvider);
        _sendPace = new SendPace(server.TimeProvider, server.Limits.MaxIdle);
        Responses = new ResponseQueue(_sender, Stop, Fail, BeforeWait, Touch);
        _frames = new FrameReader(_socket, BeforeWait, GrowAsync);
        Touch();
    }

    /// <summary>The address that the client dialled.</summary>
    public IPEndPoint LocalEndPoint { get; }

    /// <summary>The client's address.</summary>
    public IPEndPoint RemoteEndPoint { get; }

    /// <summary>The name of the listener that accepted it.</summary>
    public string Listener { get; }

    /// <summary>The client's name by its certificate; null for a client without one.</summary>
    public string? CertificatePrincipal { get; }

    /// <summary>Cancelled when the connection is closed, or the gateway stops.</summary>
    public CancellationToken Aborted => _aborted.Token;

    /// <summary>How long nothing was received or sent; zero while a response is due, and while the client is not listened to.</summary>
    public TimeSpan Idle => !_isBeginning && !IsMuted && Responses.IsIdle
        ? _server.TimeProvider.GetElapsedTime(Interlocked.Read(ref _lastActivity)) : TimeSpan.Zero;

    /// <summary>Whether the client receives its answers so slowly that they are not worth what they hold. To be called every few seconds,
    /// by one caller at a time.</summary>
    public bool SendsTooSlowly() => _sendPace.IsTooSlow(_sender.IsWaiting, _sender.Sent);

    /// <summary>Whether a request arrives so slowly that it is not worth its memory. To be called every few seconds, by one caller at a
    /// time.</summary>
    /// <param name="isScarce">Whether other requests wait for memory.</param>
    public bool ReceivesTooSlowly(bool isScarce)
    {
        if (_pace.Check(_receiving, isScarce, out var isTooSlow))
            Touch();
        return isTooSlow;
    }

    /// <summary>The responses, in the order of their requests.</summary>
    protected ResponseQueue Responses { get; }

    /// <summary>The size of the head before a frame, which determines its length; at most <see cref="FrameReader.HeadBytes"/>.</summary>
    protected abstract int HeadBytes { get; }

    /// <summary>Returns how many bytes follow the head.</summary>
    /// <exception cref="MalformedRequestException">The client broke the protocol.</exception>
    protected abstract int LengthOf(ReadOnlySpan<byte> head);

    /// <summary>Begins what a frame asks for; the frame is the protocol's to <see cref="Release"/>.</summary>
    /// <exception cref="MalformedRequestException">The client broke the protocol.</exception>
    protected abstract ValueTask BeginAsync(RequestFrame frame);

    /// <summary>Called when the connection has ended and all responses are sent or dropped.</summary>
    protected virtual void OnEnded() { }

    /// <summary>Reads no further frames and ends long polls; requests in flight are answered.</summary>
    public void Stop()
    {
        _isStopping = true;
        try
        {
            // Ends a receive that is in progress.
            _socket.Socket.Shutdown(SocketShutdown.Receive);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // The connection has ended already.
        }
        _stop.Cancel();
        Abort();
    }

    /// <summary>Ends the connection at once: responses that are not sent are lost.</summary>
    public void Cut()
    {
        Stop();
        _socket.Dispose();
    }

    /// <summary>Serves the connection until it ends.</summary>
    public async Task RunAsync()
    {
        try
        {
            while (!_isStopping && !Responses.IsClosed)
            {
                if (Volatile.Read(ref _mutedUntil) != 0)
                {
                    await WaitWhileMutedAsync().ConfigureAwait(false);
                    continue;
                }
                if (await ReadFrameAsync().ConfigureAwait(false) is not { } frame)
                    break;
                _isBeginning = true;
                Touch();
                await BeginAsync(frame).ConfigureAwait(false);
                _isBeginning = false;
            }
        }
        catch (MalformedRequestException fault)
        {
            _server.Malformed(RemoteEndPoint, fault);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The client disconnected, or the gateway stops.
        }
        finally
        {
            // Long polls end; requests in flight are answered.
            Abort();
            await Responses.WaitUntilOpenAsync(0).ConfigureAwait(false);
            _frames.GiveBack();
            OnEnded();
        }
    }

    /// <summary>Where appends that begin now are collected: in the loop's burst, or in the connection's own while more requests have
    /// arrived. Null: each append is written by itself.</summary>
    protected AppendBurst? Burst => _socket.CurrentLoop?.Burst ?? (_frames.IsEmpty ? null : _burst);

    /// <summary>Writes the appends that were collected, once they are many.</summary>
    protected void WriteFullBurst()
    {
        if (_socket.CurrentLoop is { Burst.IsFull: true } loop)
            loop.EndIteration();
        else if (_burst.IsFull)
            BeforeWait();
    }

    /// <summary>Continues on the thread pool unless the loop's thread may serve this request: other connections wait for that thread.
    /// Where it may, the loop receives the connection's next request too.</summary>
    /// <param name="isQuick">Whether the request begins without waiting.</param>
    /// <param name="bytes">The request's size.</param>
    protected async ValueTask LeaveLoopUnlessQuickAsync(bool isQuick, int bytes)
    {
        isQuick &= bytes <= ConnectionLoop.MaxQuickBytes;
        _socket.IsQuick = isQuick;
        if (_socket.CurrentLoop is { } loop && (!isQuick || loop.IsTooMuch(ref _share, bytes)))
            await LoopExit.Now;
    }

    /// <summary>Whether a client that is held back still has to be. Asked every few seconds while nothing is read.</summary>
    protected virtual bool IsHeldBack => true;

    /// <summary>Begins no further frame for a while, or until the client need not be held back any more. Responses are sent
    /// meanwhile.</summary>
    protected void Mute(TimeSpan time)
    {
        if (time <= TimeSpan.Zero)
            return;
        var clock = _server.TimeProvider;
        var until = clock.GetTimestamp() + Math.Max((long)(time.TotalSeconds * clock.TimestampFrequency), 1);
        var before = Volatile.Read(ref _mutedUntil);
        while (before < until && Interlocked.CompareExchange(ref _mutedUntil, until, before) is var found && found != before)
            before = found;
    }

    /// <summary>Returns when every response is sent, or dropped since the client disconnected.</summary>
    protected async ValueTask WaitUntilAllSentAsync()
    {
        BeforeWait();
        if (Responses.IsIdle)
            return;
        // The response may take minutes. Receiving meanwhile detects a disconnect, unless the next request has arrived already.
        if (_watching is null && _frames.IsEmpty)
            _watching = WatchAsync();
        await Responses.WaitUntilOpenAsync(0).ConfigureAwait(false);
    }

    /// <summary>Returns a frame's memory and its share of the budgets.</summary>
    protected void Release(RequestFrame frame)
    {
        frame.Dispose();
        _server.InFlight.Return(frame);
        _inFlight.Return(frame.Length);
    }

    // A time that has passed is forgotten with the next frame.
    private bool IsMuted => Volatile.Read(ref _mutedUntil) is not 0 and var until && _server.TimeProvider.GetTimestamp() < until;

    private async ValueTask WaitWhileMutedAsync()
    {
        BeforeWait();
        // Detects a disconnect, unless the next request has arrived already.
        if (_watching is null && _frames.IsEmpty)
            _watching = WatchAsync();
        var until = Volatile.Read(ref _mutedUntil);
        var clock = _server.TimeProvider;
        while (until - clock.GetTimestamp() is > 0 and var left && !Aborted.IsCancellationRequested)
        {
            var seconds = Math.Max((double)left / clock.TimestampFrequency, 0.001);
            await Task.Delay(TimeSpan.FromSeconds(Math.Min(seconds, MuteSlice.TotalSeconds)), clock, Aborted)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!IsHeldBack)
                break;
        }
        Touch();
        Interlocked.CompareExchange(ref _mutedUntil, 0, until);
    }

    private void Touch() => Interlocked.Exchange(ref _lastActivity, _server.TimeProvider.GetTimestamp());

    // The client must not wait forever for the response.
    private void Fail(Exception fault)
    {
        _server.Log.Write(EngineLogLevel.Error, $"An answer to {RemoteEndPoint} could not be sent; the connection is closed.", fault);
        Stop();
    }

    private void Abort()
    {
        if (!_aborted.IsCancellationRequested)
            _aborted.Cancel();
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<RequestFrame?> ReadFrameAsync()
    {
        if (_watching is { } watching)
        {
            await watching.ConfigureAwait(false);
            _watching = null;
        }
        if (!await _frames.ReceiveHeadAsync(HeadBytes).ConfigureAwait(false))
            return null;
        var length = LengthOf(_frames.TakeHead(HeadBytes));
        await TakeShareAsync(length).ConfigureAwait(false);
        var frame = new RequestFrame(length);
        var isWhole = false;
        try
        {
            await GrowAsync(frame).ConfigureAwait(false);
            _receiving = frame;
            isWhole = await _frames.FillAsync(frame).ConfigureAwait(false);
        }
        finally
        {
            _receiving = null;
            if (!isWhole)
                Release(frame);
        }
        return isWhole ? frame : null;
    }

    // The whole length at once: it delays no other connection.
    private ValueTask TakeShareAsync(int bytes)
    {
        var taking = _inFlight.TakeAsync(bytes, _stop.Token);
        if (!taking.IsCompleted)
            BeforeWait();
        return taking;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask GrowAsync(RequestFrame frame)
    {
        var taking = _server.InFlight.TakeAsync(frame, _stop.Token);
        if (!taking.IsCompleted)
            BeforeWait();
        await taking.ConfigureAwait(false);
        frame.Grow();
    }

    // Appends that were begun are written, and responses sent: the client may wait for them before it sends more. A loop does so for all
    // its connections at the end of the iteration.
    private void BeforeWait()
    {
        if (_socket.CurrentLoop is { } loop)
        {
            loop.Defer(Responses);
            return;
        }
        if (_burst.IsEmpty)
        {
            Responses.SendReady();
            return;
        }
        Responses.Hold();
        try
        {
            _burst.Run();
        }
        finally
        {
            Responses.SendHeld();
        }
    }

    private async Task WatchAsync()
    {
        try
        {
            if (!await _frames.ReceiveAsync().ConfigureAwait(false))
                Abort();
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            Abort();
        }
    }
}
