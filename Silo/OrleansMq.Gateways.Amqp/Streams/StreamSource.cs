using OrleansMq.Api;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Records;

namespace OrleansMq.Gateways.Amqp.Streams;

/// <summary>The partition that readers of a stream read. Thread safe.</summary>
/// <param name="Broker">The broker, as the reader may use it.</param>
/// <param name="Partition">The partition.</param>
/// <param name="Name">The routing key of records that were published elsewhere.</param>
/// <param name="Codecs">Decompresses what other producers have compressed.</param>
/// <param name="Time">The clock.</param>
/// <param name="Log">The log.</param>
internal sealed record StreamSource(IBroker Broker, TopicPartition Partition, string Name, CompressionCodecs Codecs, TimeProvider Time,
    EngineLog Log)
{
    private const int MaxAttempts = 50;
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);

    /// <summary>Lines about offsets that readers pass over: a producer can append unreadable batches at will.</summary>
    public RareLine PassedOver { get; } = new(Log, Time);

    /// <summary>Finds an offset; -1: no record is so late.</summary>
    /// <exception cref="QueueGoneException">The topic is deleted.</exception>
    /// <exception cref="BrokerException">It cannot be found.</exception>
    public async ValueTask<long> FindAsync(OffsetSpec spec)
    {
        for (var attempt = 1; ; attempt++)
        {
            var found = await Broker.FindOffsetAsync(Partition, spec).ConfigureAwait(false);
            if (found.Error == ErrorCode.None)
                return found.Offset;
            if (!await CanRetryAsync(found.Error, found.Message, attempt, CancellationToken.None).ConfigureAwait(false))
                throw new BrokerException(found.Error, found.Message ?? $"An offset of '{Partition}' was not found.");
        }
    }

    /// <summary>Waits before another attempt. Returns false if there is to be none.</summary>
    /// <exception cref="QueueGoneException">The topic is deleted.</exception>
    public async ValueTask<bool> CanRetryAsync(ErrorCode error, string? message, int attempt, CancellationToken cancellationToken)
    {
        if (LogQueue.IsGone(error))
            throw new QueueGoneException(new BrokerException(error, message ?? $"'{Partition}' is gone."));
        if (error.Action() != ErrorAction.Retry || attempt >= MaxAttempts)
            return false;
        await Task.Delay(RetryPause, Time, cancellationToken).ConfigureAwait(false);
        return true;
    }
}
