using System.Collections.Concurrent;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Connections;

namespace OrleansMq.Gateways.Http;

/// <summary>
/// The raw batches that are being received and appended. A batch takes memory as its bytes arrive, within a budget for all of them
/// (<see cref="FrameBudget"/>); a request for which there is none waits, and its client sees a connection that accepts no more bytes. The
/// server refuses bodies that arrive at less than its least rate; while others wait for memory, those that hold much of it must arrive
/// faster (<see cref="ReceivePace"/>). Thread safe.
/// </summary>
/// <param name="bytes">The budget.</param>
/// <param name="clock">The clock.</param>
/// <param name="log">Where log lines go.</param>
internal sealed class BatchBodies(long bytes, TimeProvider clock, EngineLog log) : IAsyncDisposable
{
    /// <summary>256 MiB: hundreds of ordinary batches at once, or two of the largest.</summary>
    public const long DefaultBytes = 256L << 20;

    // Several times in a window of a body's pace.
    private static readonly TimeSpan WatchInterval = ReceivePace.Window / 3;

    private readonly FrameBudget _budget = new(bytes);
    private readonly ConcurrentDictionary<Receiving, byte> _receiving = new();
    private readonly RareLine _slow = new(log, clock);
    private readonly RareLine _full = new(log, clock);
    private readonly Lock _watching = new();
    private ITimer? _watch;
    private bool _waited;

    /// <summary>Bytes in use.</summary>
    public long Used => _budget.Used;

    /// <summary>Begins to watch the pace of bodies.</summary>
    public void Watch() => _watch = clock.CreateTimer(static bodies => ((BatchBodies)bodies!).Check(), this, WatchInterval, WatchInterval);

    /// <summary>Receives a body; return it with <see cref="Return"/>.</summary>
    /// <param name="http">The request.</param>
    /// <param name="length">The length that it announces.</param>
    /// <exception cref="RequestException">It arrives too slowly.</exception>
    public async ValueTask<RequestFrame> ReceiveAsync(HttpContext http, int length)
    {
        var frame = new RequestFrame(length);
        using var receiving = new Receiving(frame, new ReceivePace(clock), http.RequestAborted);
        _receiving[receiving] = 0;
        try
        {
            await FillAsync(http.Request.Body, frame, receiving.Token);
            return frame;
        }
        catch (OperationCanceledException) when (receiving.IsTooSlow)
        {
            Return(frame);
            throw new RequestException(StatusCodes.Status408RequestTimeout, ErrorCode.RequestTimedOut,
                $"The body arrives too slowly while others wait for memory: {frame.Filled} of {length} bytes have arrived. Retry, or send "
                + "smaller batches.");
        }
        catch
        {
            Return(frame);
            throw;
        }
        finally
        {
            _receiving.TryRemove(receiving, out _);
        }
    }

    /// <summary>Returns a body's memory.</summary>
    public void Return(RequestFrame frame)
    {
        frame.Dispose();
        _budget.Return(frame);
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _watch?.DisposeAsync() ?? default;

    private async ValueTask FillAsync(Stream body, RequestFrame frame, CancellationToken cancellationToken)
    {
        // Until something arrives, it takes nothing.
        frame.Advance(await body.ReadAsync(Memory<byte>.Empty, cancellationToken));
        do
        {
            if (frame.MustGrow)
            {
                await _budget.TakeAsync(frame, cancellationToken);
                frame.Grow();
            }
            var read = await body.ReadAsync(frame.Room, cancellationToken);
            if (read == 0 && frame.Missing > 0)
                throw new RequestException($"The body ends after {frame.Filled} of {frame.Length} bytes.");
            frame.Advance(read);
        }
        while (frame.Missing > 0);
    }

    private void Check()
    {
        if (!_watching.TryEnter())
            return; // The timer is faster than a look at all bodies.
        try
        {
            var waiting = _budget.Waiting;
            foreach (var (receiving, _) in _receiving)
            {
                if (receiving.CancelIfTooSlow(isScarce: waiting > 0))
                    _slow.Write(EngineLogLevel.Warning, "A request with a record batch was refused: it arrived too slowly"
                        + (waiting > 0 ? " while others wait for memory." : "."));
            }
            if (waiting > 0 && _waited)
                _full.Write(EngineLogLevel.Warning, $"{waiting} HTTP requests with record batches wait for memory: those in flight use "
                    + $"{_budget.Used} bytes, {bytes} are allowed.");
            _waited = waiting > 0;
        }
        finally
        {
            _watching.Exit();
        }
    }

    private sealed class Receiving(RequestFrame frame, ReceivePace pace, CancellationToken aborted) : IDisposable
    {
        private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(aborted);
        private readonly Lock _lock = new();
        private bool _isOver;

        public CancellationToken Token => _stop.Token;

        public bool IsTooSlow { get; private set; }

        public bool CancelIfTooSlow(bool isScarce)
        {
            lock (_lock)
            {
                pace.Check(frame, isScarce, out var isTooSlow);
                if (!isTooSlow || _isOver)
                    return false;
                IsTooSlow = true;
                _stop.Cancel();
                return true;
            }
        }

        public void Dispose()
        {
            lock (_lock)
                _isOver = true;
            _stop.Dispose();
        }
    }
}
