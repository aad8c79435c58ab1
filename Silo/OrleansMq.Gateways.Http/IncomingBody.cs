using System.Buffers;
using OrleansMq.Gateways.Connections;

namespace OrleansMq.Gateways.Http;

/// <summary>
/// A body that is being received, or a long line of one. It is cancelled when it arrives too slowly. Dispose it when it has arrived: that
/// ends the watch over its pace, and leaves its memory.
/// </summary>
/// <param name="bodies">Those that share the memory.</param>
/// <param name="frame">What has arrived.</param>
/// <param name="pace">How fast it arrives.</param>
/// <param name="gone">Cancelled when the client is gone.</param>
/// <param name="draining">Cancelled when it is not waited for any longer.</param>
internal sealed class IncomingBody(RequestBodies bodies, RequestFrame frame, ReceivePace pace, CancellationToken gone,
    CancellationToken draining) : IDisposable
{
    private readonly CancellationTokenSource _stop = CancellationTokenSource.CreateLinkedTokenSource(gone, draining);
    private readonly Lock _lock = new();
    private volatile bool _isPaused;
    private bool _isOver;

    /// <summary>What has arrived.</summary>
    public RequestFrame Frame => frame;

    /// <summary>Cancelled when it is not to be received any further.</summary>
    public CancellationToken Token => _stop.Token;

    /// <summary>Whether it is cancelled since it arrived too slowly.</summary>
    public bool IsTooSlow { get; private set; }

    /// <summary>Whether nothing is read now, for which the client is not to blame.</summary>
    public bool IsPaused
    {
        get => _isPaused;
        set => _isPaused = value;
    }

    /// <summary>Takes in bytes that have arrived, once there is memory for them. The frame must not be full before.</summary>
    public async ValueTask AddAsync(ReadOnlySequence<byte> arrived)
    {
        foreach (var part in arrived)
        {
            for (var rest = part; !rest.IsEmpty; rest = rest[frame.Fill(rest.Span)..])
            {
                if (frame.MustGrow)
                    await bodies.GrowAsync(frame, Token);
            }
        }
    }

    /// <summary>Takes in bytes that have arrived, once there is memory for them. False if that was cancelled.</summary>
    public async Task<bool> TryAddAsync(ReadOnlySequence<byte> arrived)
    {
        try
        {
            await AddAsync(arrived);
            return true;
        }
        catch (OperationCanceledException) when (Token.IsCancellationRequested)
        {
            return false;
        }
    }

    /// <summary>Looks at the pace. True if it is cancelled by this.</summary>
    public bool CancelIfTooSlow(bool isScarce)
    {
        lock (_lock)
        {
            pace.Check(IsPaused ? null : frame, isScarce, out var isTooSlow);
            if (!isTooSlow || _isOver)
                return false;
            IsTooSlow = true;
            // A body that is read on meanwhile stays cancelled, and is not counted again.
            _isOver = true;
            _stop.Cancel();
            return true;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        bodies.Forget(this);
        lock (_lock)
            _isOver = true;
        _stop.Dispose();
    }
}
