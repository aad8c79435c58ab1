using System.Collections.Concurrent;
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Dedupe;
using OrleansMq.Partitions.Cursors;

namespace OrleansMq.Client;

/// <summary>The headers that a dead letter has in addition to those of its record. Values are text. Those of a queue have <c>Cause</c> and
/// <c>DecidedAt</c> instead of an exception.</summary>
public static class DeadLetterHeaders
{
    internal const string Prefix = "omq.dead-letter.";

    /// <summary>The record's topic.</summary>
    public const string Topic = DeadLetterHeaderNames.Topic;
    /// <summary>The record's partition.</summary>
    public const string Partition = DeadLetterHeaderNames.Partition;
    /// <summary>The record's offset.</summary>
    public const string Offset = DeadLetterHeaderNames.Offset;
    /// <summary>The record's timestamp, in milliseconds since 1970.</summary>
    public const string Timestamp = DeadLetterHeaderNames.Timestamp;
    /// <summary>The group whose handler failed, or the queue; empty without one.</summary>
    public const string Group = DeadLetterHeaderNames.Group;
    /// <summary>The number of attempts, of a queue of deliveries; 0 if the record could not be deserialized.</summary>
    public const string Attempts = DeadLetterHeaderNames.Attempts;
    /// <summary>Why the handler gave the record up, see <see cref="MessageContext{TKey, TValue}.DeadLetterAsync"/>; absent otherwise. Of a
    /// queue: the reason of <see cref="QueueMessage{TKey, TValue}.DeadLetterAsync"/>, or the cause in words.</summary>
    public const string Reason = DeadLetterHeaderNames.Reason;
    /// <summary>The type of the exception; absent if there is a reason, as are the next two.</summary>
    public const string ExceptionType = "omq.dead-letter.exception-type";
    /// <summary>The exception's message, at most 1,024 characters.</summary>
    public const string ExceptionMessage = "omq.dead-letter.exception-message";
    /// <summary>The exception with its stack trace, at most 4,096 characters.</summary>
    public const string ExceptionDetails = "omq.dead-letter.exception-details";
    /// <summary>Of a queue: <c>rejected</c>, <c>failed</c> (too often), <c>expired</c> or <c>overflow</c>.</summary>
    public const string Cause = DeadLetterHeaderNames.Cause;
    /// <summary>Of a queue: when that was decided, in milliseconds since 1970.</summary>
    public const string DecidedAt = DeadLetterHeaderNames.DecidedAt;
    /// <summary>The record's <see cref="MessageHeaders.MessageId"/>, of a letter that a handler's failure made: the letter is a message of
    /// its own.</summary>
    public const string MessageId = "omq.dead-letter.message-id";
    /// <summary>How often the record was sent back, see <see cref="IAdmin.RedriveAsync"/>. The record itself has it, too.</summary>
    public const string Redrives = "omq.dead-letter.redrives";
    /// <summary>Of a record with a message id that was sent back: its letter (the dead-letter topic's id, partition and offset) and the
    /// group of the redrive. Together they are that record's id.</summary>
    public const string RedrivenFrom = MessageIds.RedrivenFromHeader;
}

/// <summary>Writes records that cannot be handled to their dead-letter topics, with key and value unchanged.</summary>
internal sealed partial class DeadLetters(IBroker broker, Func<string, string> topicOf, ProducerOptions options, string? groupId,
    ILogger logger) : IAsyncDisposable
{
    /// <summary>Room for the headers, in addition to the largest record of the source.</summary>
    private const int HeaderRoom = 64 << 10;

    /// <summary>What the name of a dead-letter topic has after that of its source, unless the options say otherwise.</summary>
    public const string TopicSuffix = ".dead-letter";

    private static readonly ReadOnlyMemory<byte> s_messageId = Encoding.UTF8.GetBytes(DeadLetterHeaders.MessageId);

    private readonly Producer<byte[]?, byte[]?> _producer = new(broker, Serdes.Bytes, Serdes.Bytes, options with
    {
        // A dead letter must fit although the source topic accepts larger records than the producer's options.
        MaxRequestSize = Math.Max(options.MaxRequestSize, 16 << 20),
        BufferMemory = Math.Max(options.BufferMemory, 32 << 20),
    });
    private readonly ProducerOptions _options = options;
    private readonly ConcurrentDictionary<string, string> _topics = new(StringComparer.Ordinal);

    /// <summary>Writes a record. Completes when it is in its dead-letter topic, whose name is returned. Retries for as long as a producer
    /// does.</summary>
    /// <exception cref="BrokerException">The dead-letter topic does not exist and cannot be created.</exception>
    /// <exception cref="ProduceException">The record could not be written.</exception>
    public Task<string> WriteAsync<TKey, TValue>(HandledRecord<TKey, TValue> failed, Exception failure, int attempts,
        CancellationToken cancellationToken) => WriteAsync(failed, DescribeFailure(failure), attempts, cancellationToken);

    /// <summary>Writes a record that its handler gave up.</summary>
    /// <inheritdoc cref="WriteAsync{TKey, TValue}(HandledRecord{TKey, TValue}, Exception, int, CancellationToken)"/>
    public Task<string> WriteAsync<TKey, TValue>(HandledRecord<TKey, TValue> failed, string reason, int attempts,
        CancellationToken cancellationToken) =>
        WriteAsync(failed, [RecordHeaders.Text(DeadLetterHeaders.Reason, reason)], attempts, cancellationToken);

    private async Task<string> WriteAsync<TKey, TValue>(HandledRecord<TKey, TValue> failed, IEnumerable<RecordHeader> why, int attempts,
        CancellationToken cancellationToken)
    {
        var record = failed.Record;
        var topic = await EnsureTopicAsync(record.TopicPartition.Topic, cancellationToken).ConfigureAwait(false);
        await _producer.SendAsync(new ProducerRecord<byte[]?, byte[]?>(topic, failed.RawKey, failed.RawValue)
        {
            Headers = (RecordHeader[])[.. record.Headers.Select(KeptHeader),
                .. Describe(record.TopicPartition, record.Offset, record.Timestamp, attempts), .. why],
        }, cancellationToken).ConfigureAwait(false);
        return topic;
    }

    public ValueTask DisposeAsync() => _producer.DisposeAsync();

    // Letters of two sources, or of two groups, may have one id. Both are kept, whatever the dead-letter topic remembers.
    private static RecordHeader KeptHeader(RecordHeader header) => header.Name() == MessageHeaders.MessageId
        ? header with { Key = s_messageId } : header;

    private IEnumerable<RecordHeader> Describe(TopicPartition partition, long offset, long timestamp, int attempts)
    {
        yield return RecordHeaders.Text(DeadLetterHeaders.Topic, partition.Topic);
        yield return RecordHeaders.Text(DeadLetterHeaders.Partition, partition.Partition.ToString(CultureInfo.InvariantCulture));
        yield return RecordHeaders.Text(DeadLetterHeaders.Offset, offset.ToString(CultureInfo.InvariantCulture));
        yield return RecordHeaders.Text(DeadLetterHeaders.Timestamp, timestamp.ToString(CultureInfo.InvariantCulture));
        yield return RecordHeaders.Text(DeadLetterHeaders.Group, groupId ?? "");
        yield return RecordHeaders.Text(DeadLetterHeaders.Attempts, attempts.ToString(CultureInfo.InvariantCulture));
    }

    private static IEnumerable<RecordHeader> DescribeFailure(Exception failure)
    {
        // A deserialization failure is wrapped by the reader; the cause is the inner exception.
        var cause = failure is DeserializationException { InnerException: { } inner } ? inner : failure;
        yield return RecordHeaders.Text(DeadLetterHeaders.ExceptionType, cause.GetType().FullName);
        yield return RecordHeaders.Text(DeadLetterHeaders.ExceptionMessage, Cut(failure.Message, 1024));
        yield return RecordHeaders.Text(DeadLetterHeaders.ExceptionDetails, Cut(failure.ToString(), 4096));
    }

    private static string Cut(string text, int length) => text.Length <= length ? text : text[..length];

    private async ValueTask<string> EnsureTopicAsync(string source, CancellationToken cancellationToken)
    {
        if (_topics.TryGetValue(source, out var known))
            return known;
        var topic = topicOf(source);
        var since = _options.TimeProvider.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await FindOrCreateAsync(topic, source, cancellationToken).ConfigureAwait(false);
                return _topics[source] = topic;
            }
            catch (BrokerException e)
                when (e.Action == ErrorAction.Retry && _options.TimeProvider.GetElapsedTime(since) < _options.DeliveryTimeout)
            {
                var wait = RetryBackoff.For(attempt, _options.RetryBackoff, _options.RetryBackoffMax, _options.Random.NextDouble());
                LogRetry(topic, wait, e.Message);
                await Task.Delay(wait, _options.TimeProvider, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Returns when the topic serves. A creation alone does not prove that: another one may be under way, or be undone.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.LeaderNotAvailable"/>: it was created, and is not found yet.</exception>
    private async Task FindOrCreateAsync(string topic, string source, CancellationToken cancellationToken)
    {
        if (await FindAsync(topic, cancellationToken).ConfigureAwait(false) is null)
            return;
        await CreateAsync(topic, source, cancellationToken).ConfigureAwait(false);
        if (await FindAsync(topic, cancellationToken).ConfigureAwait(false) is { } unknown)
            throw new BrokerException(ErrorCode.LeaderNotAvailable,
                $"Dead-letter topic '{topic}' was created, and is not served yet: {unknown.Message}", unknown);
    }

    /// <summary>Returns null if the topic serves, else why not.</summary>
    private async Task<BrokerException?> FindAsync(string topic, CancellationToken cancellationToken)
    {
        try
        {
            await broker.GetTopicAsync(topic, cancellationToken).ConfigureAwait(false);
            return null;
        }
        catch (BrokerException e) when (e.Code == ErrorCode.UnknownTopicOrPartition)
        {
            return e;
        }
    }

    private async Task CreateAsync(string topic, string source, CancellationToken cancellationToken)
    {
        const string MaxMessageBytes = "max.message.bytes";
        var like = await broker.DescribeTopicAsync(source, cancellationToken).ConfigureAwait(false);
        var configs = new Dictionary<string, string>();
        // Not there for a client that may not read the configuration: then the default applies.
        if (like.Configs.FirstOrDefault(static config => config.Name == MaxMessageBytes) is { } largest)
            configs[MaxMessageBytes] = Math.Min(int.MaxValue, long.Parse(largest.Value, CultureInfo.InvariantCulture) + HeaderRoom)
                .ToString(CultureInfo.InvariantCulture);
        try
        {
            await broker.CreateTopicAsync(new NewTopic(topic, like.Partitions.Count, Configs: configs),
                cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException e) when (e.Code == ErrorCode.TopicAlreadyExists)
        {
            // Another consumer created it first, or an earlier attempt whose response was lost.
        }
    }

    [LoggerMessage(46, LogLevel.Warning, "Dead-letter topic {Topic} can be neither found nor created yet; retrying in {Wait}. {Reason}")]
    private partial void LogRetry(string topic, TimeSpan wait, string reason);
}
