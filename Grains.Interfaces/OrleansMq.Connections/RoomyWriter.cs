using System.IO.Pipelines;

namespace OrleansMq.Connections;

/// <summary>
/// A pipe's writer that offers room for a whole message at once. Who writes a message asks for a few KiB, and puts what does not fit
/// together elsewhere, to be copied in at the end; here he is offered as much as messages took lately.
/// </summary>
/// <param name="inner">The pipe's.</param>
/// <param name="blocks">Where the pipe's memory comes from.</param>
internal sealed class RoomyWriter(PipeWriter inner, AdaptiveBlocks blocks) : PipeWriter
{
    // Twice what the writers of small messages ask for.
    private const int LeastRoom = 8 << 10;
    // Larger messages than batches and bundles are (4 MiB) are rare, and pay with a copy.
    private const int MostRoom = 4 << 20;
    // After a large message it takes some hundred small ones until the room is small again.
    private const int Decay = 6;

    // What a message needs that is as large as those of late.
    private int _room = LeastRoom;
    private int _written;

    /// <inheritdoc/>
    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        Learn(sizeHint);
        return inner.GetMemory(Math.Max(sizeHint, _room));
    }

    /// <inheritdoc/>
    public override Span<byte> GetSpan(int sizeHint = 0)
    {
        Learn(sizeHint);
        return inner.GetSpan(Math.Max(sizeHint, _room));
    }

    /// <inheritdoc/>
    public override void Advance(int bytes)
    {
        _written = bytes;
        if (bytes < _room)
            _room = Math.Max(LeastRoom, _room - ((_room - bytes) >> Decay));
        inner.Advance(bytes);
    }

    /// <inheritdoc/>
    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        _written = 0;
        return inner.FlushAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public override void CancelPendingFlush() => inner.CancelPendingFlush();

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null) => inner.Complete(exception);

    /// <inheritdoc/>
    public override ValueTask CompleteAsync(Exception? exception = null) => inner.CompleteAsync(exception);

    // Whoever asks for more than he was offered had not room enough for all of it.
    private void Learn(int sizeHint)
    {
        if (sizeHint > _room)
            _room = (int)Math.Min(MostRoom, (long)_written + sizeHint);
        _written = 0;
        blocks.BlockBytes = (int)Math.Min(4L * _room, AdaptiveBlocks.Largest);
    }
}
