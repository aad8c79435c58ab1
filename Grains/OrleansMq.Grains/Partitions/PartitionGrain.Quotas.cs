using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Quotas;

namespace OrleansMq.Grains.Partitions;

// Clients within their quotas. The grain is reentrant: a call whose answer is held back holds back no other.
internal sealed partial class PartitionGrain
{
    private TimeProvider Time => broker.Options.TimeProvider;

    private Task<ProduceResult> AppendAtPaceAsync(SessionPace pace, Opening opening, BatchInCall batch, Acks acks) =>
        AppendAtPaceAsync(pace, opening, batch.Own(out var owner), owner, acks, CancellationToken.None);

    // What was appended is kept. Its memory is free before the answer is held back.
    private async Task<ProduceResult> AppendAtPaceAsync(SessionPace pace, Opening opening, Memory<byte> batch, IDisposable? owner,
        Acks acks, CancellationToken cancellationToken)
    {
        const QuotaKey key = QuotaKey.ProducerByteRate;
        var began = Time.GetTimestamp();
        var wait = TimeSpan.Zero;
        ProduceResult result;
        using (owner)
        {
            if (opening.Partition.IsOpen)
            {
                if (pace.Refuses(key) is { } refusal)
                    return ProduceResult.Failed(ErrorCode.ThrottlingQuotaExceeded, refusal);
                wait = pace.Charge(key, batch.Length);
            }
            result = await Append(opening, batch, acks, burst: null);
        }
        await HoldAsync(pace, key, wait, began, cancellationToken);
        return result;
    }

    // The call has one answer, which is held back once. Batches behind one that is refused are refused, too: the debt does not shrink here.
    private async Task<ProduceResult[]> AppendManyAtPaceAsync(SessionPace pace, Opening opening, BatchInCall[] batches, Acks acks)
    {
        const QuotaKey key = QuotaKey.ProducerByteRate;
        var began = Time.GetTimestamp();
        var wait = TimeSpan.Zero;
        string? refusal = null;
        var results = await AppendManyAsync(opening, batches, acks, bytes =>
        {
            if (!opening.Partition.IsOpen)
                return null;
            refusal ??= pace.Refuses(key);
            if (refusal is not null)
                return ProduceResult.Failed(ErrorCode.ThrottlingQuotaExceeded, refusal);
            wait = pace.Charge(key, bytes);
            return null;
        });
        await HoldAsync(pace, key, wait, began, CancellationToken.None);
        return results;
    }

    // The hold is part of the time for which the call may wait for records.
    private async Task<FetchResult> ReadAtPaceAsync(SessionPace pace, Opening opening, PartitionRead read,
        CancellationToken cancellationToken)
    {
        const QuotaKey key = QuotaKey.ConsumerByteRate;
        if (pace.Refuses(key) is { } refusal)
            return FetchResult.Failed(ErrorCode.ThrottlingQuotaExceeded, refusal);
        var began = Time.GetTimestamp();
        await HoldAsync(pace, key, pace.Wait(key), began, cancellationToken);
        cancellationToken.ThrowIfCancellationRequested();
        var left = read.MaxWait - Time.GetElapsedTime(began);
        var fetched = await ReadAsync(opening, read with
        {
            MaxBytes = Math.Min(read.MaxBytes, pace.MostBytes),
            MaxWait = left > TimeSpan.Zero ? left : TimeSpan.Zero,
        }, cancellationToken);
        if (fetched.Length > 0)
            pace.Charge(key, fetched.Length);
        return fetched;
    }

    // The time that the call has taken is part of its wait. An activation that no longer leads ends when its calls have ended: it holds
    // none, and the partition is served elsewhere from then on.
    private async Task HoldAsync(SessionPace pace, QuotaKey key, TimeSpan wait, long began, CancellationToken cancellationToken)
    {
        var left = pace.Within(wait) - Time.GetElapsedTime(began);
        if (left <= TimeSpan.Zero)
            return;
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, broker.Stopping);
        var held = pace.DelayAsync(key, left, ended.Token).AsTask();
        await Task.WhenAny(held, _replica?.LeadershipEnded ?? held);
        await ended.CancelAsync();
        await held;
    }
}
