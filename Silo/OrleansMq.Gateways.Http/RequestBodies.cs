using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Http.Features;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Connections;

namespace OrleansMq.Gateways.Http;

/// <summary>
/// The bodies that take much memory while they are received and used: raw batches, JSON from <see cref="RequestBody.FreeBytes"/> on, and
/// lines of records that are longer. Each takes memory as its bytes arrive, within a budget for all of them (<see cref="FrameBudget"/>).
/// One for which there is none waits, and its client sees a connection that accepts no more bytes. A body must go on arriving at the least
/// rate; while others wait for memory, those that hold much of it must arrive faster (<see cref="ReceivePace"/>). Thread safe.
/// </summary>
/// <param name="bytes">The budget.</param>
/// <param name="clock">The clock.</param>
/// <param name="log">Where log lines go.</param>
internal sealed class RequestBodies(long bytes, TimeProvider clock, EngineLog log) : IAsyncDisposable
{
    /// <summary>256 MiB: hundreds of ordinary batches at once, or two of the largest.</summary>
    public const long DefaultBytes = 256L << 20;

    // Several times in a window of a body's pace.
    private static readonly TimeSpan WatchInterval = ReceivePace.Window / 3;

    private readonly FrameBudget _budget = new(bytes);
    private readonly ConcurrentDictionary<IncomingBody, byte> _incoming = new();
    private readonly RareLine _slow = new(log, clock);
    private readonly RareLine _full = new(log, clock);
    private readonly Lock _watching = new();
    private ITimer? _watch;
    private bool _waited;

    /// <summary>Bytes in use.</summary>
    public long Used => _budget.Used;

    /// <summary>Bodies that wait for memory.</summary>
    public int Waiting => _budget.Waiting;

    /// <summary>Begins to watch the pace of bodies.</summary>
    public void Watch() =>
        _watch = clock.CreateTimer(static bodies => ((RequestBodies)bodies!).Check(), this, WatchInterval, WatchInterval);

    /// <summary>Receives a body; return it with <see cref="Return"/>.</summary>
    /// <param name="http">The request.</param>
    /// <param name="length">The length that it announces.</param>
    /// <exception cref="RequestException">It arrives too slowly.</exception>
    public ValueTask<RequestFrame> ReceiveAsync(HttpContext http, int length) =>
        ReceiveAsync(http, begun: default, length, isAnnounced: true);

    /// <summary>Receives the rest of a body that turns out to be large; return it with <see cref="Return"/>.</summary>
    /// <param name="http">The request.</param>
    /// <param name="begun">What has arrived.</param>
    /// <returns>The whole body.</returns>
    /// <exception cref="RequestException">It arrives too slowly, or exceeds its limit.</exception>
    public ValueTask<RequestFrame> ReceiveRestAsync(HttpContext http, ReadOnlyMemory<byte> begun)
    {
        if (http.Request.ContentLength is { } announced)
            return ReceiveAsync(http, begun, (int)Math.Clamp(announced, begun.Length, Array.MaxLength), isAnnounced: true);
        // It may have as much as the server lets through. One with a byte more is too long.
        var most = http.Features.Get<IHttpMaxRequestBodySizeFeature>()?.MaxRequestBodySize ?? RequestBody.MaxJsonBytes;
        return ReceiveAsync(http, begun, (int)Math.Clamp(most + 1, begun.Length, Array.MaxLength), isAnnounced: false);
    }

    /// <summary>Begins to receive what <see cref="IncomingBody.TryAddAsync"/> adds. Its frame is to be returned after its end.</summary>
    /// <param name="most">The most bytes that it may have.</param>
    /// <param name="isAnnounced">Whether it has as many.</param>
    /// <param name="gone">Cancelled when the client is gone.</param>
    /// <param name="draining">Cancelled when it is not waited for any longer.</param>
    public IncomingBody Begin(int most, bool isAnnounced, CancellationToken gone, CancellationToken draining = default)
    {
        var incoming = new IncomingBody(this, new RequestFrame(most) { IsAnnounced = isAnnounced }, new ReceivePace(clock), gone, draining);
        _incoming[incoming] = 0;
        return incoming;
    }

    /// <summary>Takes the memory of a body's next step, once it is free.</summary>
    public async ValueTask GrowAsync(RequestFrame frame, CancellationToken cancellationToken)
    {
        await _budget.TakeAsync(frame, cancellationToken);
        frame.Grow();
    }

    /// <summary>No longer watches a body.</summary>
    public void Forget(IncomingBody incoming) => _incoming.TryRemove(incoming, out _);

    /// <summary>Returns a body's memory.</summary>
    public void Return(RequestFrame frame)
    {
        frame.Dispose();
        _budget.Return(frame);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _watch?.DisposeAsync() ?? default;

    private async ValueTask<RequestFrame> ReceiveAsync(HttpContext http, ReadOnlyMemory<byte> begun, int length, bool isAnnounced)
    {
        using var incoming = Begin(length, isAnnounced, http.RequestAborted);
        var frame = incoming.Frame;
        try
        {
            await FillAsync(http.Request.Body, incoming, begun);
            return frame;
        }
        catch (OperationCanceledException) when (incoming.IsTooSlow)
        {
            Return(frame);
            throw new RequestException(StatusCodes.Status408RequestTimeout, ErrorCode.RequestTimedOut,
                $"The body arrives too slowly for the memory that it takes: {Math.Max(frame.Filled, begun.Length)} bytes have arrived. "
                + "Retry, or send less at once.");
        }
        catch
        {
            Return(frame);
            throw;
        }
    }

    private async ValueTask FillAsync(Stream body, IncomingBody incoming, ReadOnlyMemory<byte> begun)
    {
        var frame = incoming.Frame;
        // Until something arrives, it takes nothing.
        frame.Advance(await body.ReadAsync(Memory<byte>.Empty, incoming.Token));
        await incoming.AddAsync(new ReadOnlySequence<byte>(begun));
        while (frame.Missing > 0)
        {
            if (frame.MustGrow)
                await GrowAsync(frame, incoming.Token);
            var read = await body.ReadAsync(frame.Room, incoming.Token);
            if (read == 0 && frame.IsAnnounced)
                throw new RequestException($"The body ends after {frame.Filled} of {frame.Length} bytes.");
            if (read == 0)
                return;
            frame.Advance(read);
        }
        if (!frame.IsAnnounced)
            throw new RequestException(StatusCodes.Status413PayloadTooLarge, ErrorCode.MessageTooLarge,
                $"The body has more than {frame.Length - 1} bytes, the most that are allowed here.");
    }

    private void Check()
    {
        if (!_watching.TryEnter())
            return; // The timer is faster than a look at all bodies.
        try
        {
            var waiting = _budget.Waiting;
            foreach (var (incoming, _) in _incoming)
            {
                if (incoming.CancelIfTooSlow(isScarce: waiting > 0))
                    _slow.Write(EngineLogLevel.Warning, "A request was refused: its body arrived too slowly"
                        + (waiting > 0 ? " while others wait for memory." : "."));
            }
            if (waiting > 0 && _waited)
                _full.Write(EngineLogLevel.Warning, $"{waiting} HTTP requests wait for memory: the bodies of those in flight use "
                    + $"{_budget.Used} bytes, {bytes} are allowed.");
            _waited = waiting > 0;
        }
        finally
        {
            _watching.Exit();
        }
    }
}
