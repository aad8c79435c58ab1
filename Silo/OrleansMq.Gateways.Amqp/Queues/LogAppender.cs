using OrleansMq.Api;
using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>Appends batches of messages to a partition. While that has no leader a batch waits. Thread safe.</summary>
/// <param name="broker">The broker, as the publisher may use it.</param>
/// <param name="partition">The partition.</param>
/// <param name="target">What the partition is to a reader of the log, such as <c>queue 'orders'</c>.</param>
/// <param name="time">The clock.</param>
/// <param name="log">The log.</param>
internal sealed class LogAppender(IBroker broker, TopicPartition partition, string target, TimeProvider time, EngineLog log)
{
    // How long messages wait for a leader, which then has none of them.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan LeaderPause = TimeSpan.FromMilliseconds(50);

    /// <summary>Appends a batch. What went wrong is logged.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="acks">How safe it is when the task completes.</param>
    public async Task<PublishOutcome> AppendAsync(byte[] batch, Acks acks)
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
    private async Task<ProduceResult> AppendToLeaderAsync(byte[] batch, Acks acks)
    {
        var began = time.GetTimestamp();
        while (true)
        {
            var result = await broker.ProduceAsync(partition, batch, acks).ConfigureAwait(false);
            if (result.Error is not (ErrorCode.NotLeaderOrFollower or ErrorCode.LeaderNotAvailable or ErrorCode.NotEnoughReplicas)
                || time.GetElapsedTime(began) >= Patience)
                return result;
            await Task.Delay(LeaderPause, time).ConfigureAwait(false);
        }
    }
}
