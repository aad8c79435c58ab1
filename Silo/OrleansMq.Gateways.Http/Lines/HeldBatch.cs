using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Http.Lines;

/// <summary>
/// The room of <see cref="DecompressedReads"/> that one read takes for its current batch, and the time that its client has to receive it.
/// The client must receive at <see cref="BytesPerSecond"/> on average since the batch was taken, so that many small reads, each in time,
/// do not hold the room for hours. While it holds none, a client may take any time: one that pages through the answer may read nothing for
/// minutes.
/// </summary>
/// <param name="reads">The room.</param>
/// <param name="clock">The clock.</param>
/// <param name="rate">The server's own limit, which ends a single flush that takes too long; null: it has none.</param>
internal sealed class HeldBatch(DecompressedReads reads, TimeProvider clock, IHttpMinResponseDataRateFeature? rate) : IDisposable
{
    /// <summary>The least average rate of a client: 64 KiB a second.</summary>
    public const int BytesPerSecond = 64 << 10;

    /// <summary>How long a client may pause once: 30 s.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(30);

    private int _held;
    private long _since;
    private long _received;

    /// <summary>Whether a batch has taken room.</summary>
    public bool IsTaken => _held > 0;

    /// <summary>Takes room for the batch that the reader holds, in the place of the one before.</summary>
    /// <param name="bytes">Its decompressed size. The same size again is the same batch, or one that fits into its place.</param>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.Busy"/>: there is no room.</exception>
    public void Take(int bytes)
    {
        var counted = bytes > DecompressedReads.FreeBytes ? bytes : 0;
        if (counted == _held)
            return;
        Dispose();
        if (!reads.TryTake(counted))
            throw new RecordBatchException(RecordBatchError.Busy,
                $"the batch decompresses to {counted >> 20} MiB, and other reads hold the memory for such batches. "
                + "Retry, or read it undecoded (.../batches).");
        (_held, _since, _received) = (counted, clock.GetTimestamp(), 0);
        if (counted > 0)
            SetLeastRate(new MinDataRate(BytesPerSecond, Grace));
    }

    /// <summary>Counts what the client has received. Returns false if it was too slow while a batch is held.</summary>
    public bool IsInTime(long received)
    {
        if (!IsTaken)
            return true;
        _received += received;
        return clock.GetElapsedTime(_since) <= Grace + TimeSpan.FromSeconds((double)_received / BytesPerSecond);
    }

    /// <summary>Gives the room back.</summary>
    public void Dispose()
    {
        reads.Return(_held);
        _held = 0;
        SetLeastRate(null);
    }

    private void SetLeastRate(MinDataRate? least)
    {
        if (rate is not null)
            rate.MinDataRate = least;
    }
}
