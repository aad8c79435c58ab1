using OrleansMq.Api;
using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>Appends batches of messages to a partition. While that has no leader, or too few replicas, a batch waits, and holds no room.
/// Thread safe.</summary>
/// <param name="broker">The broker, as the publisher may use it.</param>
/// <param name="partition">The partition.</param>
/// <param name="target">What the partition is to a reader of the log, such as <c>queue 'orders'</c>.</param>
/// <param name="time">The clock.</param>
/// <param name="log">The log.</param>
internal sealed class LogAppender(IBroker broker, TopicPartition partition, string target, TimeProvider time, EngineLog log)
{
    // How long messages wait for a leader, which then has none of them.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan MinPause = TimeSpan.FromMilliseconds(50);
    // Each attempt encodes the batch.
    private static readonly TimeSpan MaxPause = TimeSpan.FromMilliseconds(400);

    /// <summary>Appends a batch. What went wrong is logged.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="acks">How safe it is when the task completes.</param>
    public async Task<PublishOutcome> AppendAsync(LaneBatch batch, Acks acks)
    {
        try
        {
            var result = await AppendToLeaderAsync(batch, acks).ConfigureAwait(false);
            switch (result.Error)
            {
                case ErrorCode.None:
                    return PublishOutcome.Accepted;
                case ErrorCode.PolicyViolation:
                    return PublishOutcome.Refused;
                case ErrorCode.MessageTooLarge:
                    return PublishOutcome.TooLarge;
                case ErrorCode.UnknownTopicOrPartition:
                    return PublishOutcome.Gone;
            }
            log.Write(EngineLogLevel.Warning, $"Messages to {target} were not stored: {result.Error}: {result.Message}");
        }
        catch (BrokerException fault)
        {
            log.Write(EngineLogLevel.Warning, $"Messages to {target} were not stored: {fault.Message}");
        }
        return PublishOutcome.Unknown;
    }

    // Appended again only where the leader had none of it: no message comes twice, and the order stays.
    private async Task<ProduceResult> AppendToLeaderAsync(LaneBatch batch, Acks acks)
    {
        var (began, last, pause) = (default(long), default(ProduceResult?), MinPause);
        while (true)
        {
            var left = last is null ? default(TimeSpan?) : Patience - time.GetElapsedTime(began);
            if (left <= TimeSpan.Zero)
                return last!.Value;
            // An attempt that there is no room for in time is not made.
            var result = await batch.TryAsync(TryAsync, left).ConfigureAwait(false) ?? last!.Value;
            if (result.Error is not (ErrorCode.NotLeaderOrFollower or ErrorCode.LeaderNotAvailable or ErrorCode.NotEnoughReplicas))
                return result;
            last = result;
            await Task.Delay(pause, time).ConfigureAwait(false);
            pause = pause * 2 < MaxPause ? pause * 2 : MaxPause;
        }

        ValueTask<ProduceResult> TryAsync(Memory<byte> bytes)
        {
            if (last is null)
                began = time.GetTimestamp();
            return broker.ProduceAsync(partition, bytes, acks);
        }
    }
}
