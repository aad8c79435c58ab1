using System.Buffers;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>Serializes records and passes the bytes to the core. See <see cref="IProducer{TKey, TValue}"/>.</summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
internal sealed class Producer<TKey, TValue> : IProducer<TKey, TValue>
{
    private readonly ProducerCore _core;
    private readonly ISerializer<TKey> _keys;
    private readonly ISerializer<TValue> _values;

    /// <summary>Creates a producer over a broker.</summary>
    /// <param name="broker">The broker; it is not disposed with the producer.</param>
    /// <param name="keys">Serializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Serializes values; null for the built-in format of the type.</param>
    /// <param name="options">Null for the defaults.</param>
    /// <param name="logger">Logs failed batches and callbacks that throw; null for no logging.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public Producer(IBroker broker, ISerializer<TKey>? keys = null, ISerializer<TValue>? values = null, ProducerOptions? options = null,
        ILogger? logger = null)
    {
        ArgumentNullException.ThrowIfNull(broker);
        _keys = keys ?? Serdes.For<TKey>();
        _values = values ?? Serdes.For<TValue>();
        _core = new ProducerCore(new BrokerTarget(broker), options ?? new ProducerOptions(), logger ?? NullLogger.Instance);
    }

    /// <summary>Creates a producer of other types over the same core, which is disposed with either.</summary>
    public Producer(ProducerCore core, ISerializer<TKey> keys, ISerializer<TValue> values) =>
        (_core, _keys, _values) = (core, keys, values);

    /// <inheritdoc/>
    public event Action<ProduceException>? DeliveryFailed
    {
        add => _core.DeliveryFailed += value;
        remove => _core.DeliveryFailed -= value;
    }

    /// <inheritdoc/>
    public ProducerStatistics Statistics => _core.Statistics;

    /// <inheritdoc/>
    public ValueTask<DeliveryReport> SendAsync(ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken = default)
    {
        if (IsCancelled(record, cancellationToken))
            return ValueTask.FromCanceled<DeliveryReport>(cancellationToken);
        return SendSpan.Begin(record.Topic, record.Headers) is { } span
            ? SendInSpanAsync(record with { Headers = span.Headers }, span, cancellationToken)
            : SendAcceptedAsync(record, cancellationToken);
    }

    private async ValueTask<DeliveryReport> SendInSpanAsync(ProducerRecord<TKey, TValue> record, SendSpan span,
        CancellationToken cancellationToken)
    {
        try
        {
            var report = await SendAcceptedAsync(record, cancellationToken).ConfigureAwait(false);
            span.End(report.TopicPartition, report.Offset);
            return report;
        }
        catch (Exception e)
        {
            span.Fail(e);
            throw;
        }
    }

    private ValueTask<DeliveryReport> SendAcceptedAsync(in ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken)
    {
        var delivery = Delivery.Rent();
        var task = delivery.Task;
        try
        {
            var pending = Accept(record, new Recipient(delivery), wantsAcceptance: false);
            delivery.ObserveCancellation(cancellationToken, pending);
            return task;
        }
        catch (ProduceException e)
        {
            return ValueTask.FromException<DeliveryReport>(e);
        }
    }

    /// <inheritdoc/>
    public async Task<IReadOnlyList<DeliveryReport>> SendTogetherAsync(IReadOnlyList<ProducerRecord<TKey, TValue>> records,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(records);
        if (records.Count == 0)
            throw new ArgumentException("There is no record to send.", nameof(records));
        if (records.Any(record => record.Topic != records[0].Topic))
            throw new ArgumentException("Records that are sent together are of one topic: use a transaction for several.", nameof(records));
        if (IsCancelled(records[0], cancellationToken))
            cancellationToken.ThrowIfCancellationRequested();
        var spans = records.Select(static record => SendSpan.Begin(record.Topic, record.Headers)).ToArray();
        try
        {
            var reports = await SendBatchAsync([.. records.Select((record, at) => spans[at] is { } span
                ? record with { Headers = span.Headers } : record)], cancellationToken).ConfigureAwait(false);
            for (var at = 0; at < reports.Length; at++)
                spans[at]?.End(reports[at].TopicPartition, reports[at].Offset);
            return reports;
        }
        catch (Exception e)
        {
            foreach (var span in spans)
                span?.Fail(e);
            throw;
        }
    }

    private async Task<DeliveryReport[]> SendBatchAsync(ProducerRecord<TKey, TValue>[] records, CancellationToken cancellationToken)
    {
        var delivery = Delivery.Rent();
        var task = delivery.Stamped;
        var copies = new List<PendingRecord>(records.Length);
        foreach (var record in records)
            Accept(record, new Recipient(copies.Count == 0 ? delivery : null), wantsAcceptance: false, copies);
        try
        {
            delivery.ObserveCancellation(cancellationToken, _core.AcceptTogether(copies));
        }
        catch (ProduceException e)
        {
            _core.Target.OnFailed(e);
            throw;
        }
        var (first, isAppendTime) = await task.ConfigureAwait(false);
        return [.. copies.Select((copy, at) => new DeliveryReport(first.TopicPartition, first.Offset < 0 ? -1 : first.Offset + at,
            isAppendTime ? first.Timestamp : copy.Data.Timestamp))];
    }

    /// <inheritdoc/>
    public ValueTask EnqueueAsync(ProducerRecord<TKey, TValue> record, Action<DeliveryReport>? callback = null,
        CancellationToken cancellationToken = default)
    {
        if (IsCancelled(record, cancellationToken))
            return ValueTask.FromCanceled(cancellationToken);
        return SendSpan.Begin(record.Topic, record.Headers) is { } span
            ? EnqueueInSpanAsync(record with { Headers = span.Headers }, callback, span, cancellationToken)
            : EnqueueAcceptedAsync(record, callback, cancellationToken);
    }

    /// <summary>Enqueues a record in a span that ends with its report, or without a callback when the record is accepted.</summary>
    private async ValueTask EnqueueInSpanAsync(ProducerRecord<TKey, TValue> record, Action<DeliveryReport>? callback, SendSpan span,
        CancellationToken cancellationToken)
    {
        try
        {
            await EnqueueAcceptedAsync(record, callback is null ? null : span.Before(callback), cancellationToken).ConfigureAwait(false);
            if (callback is null)
                span.End();
        }
        catch (Exception e)
        {
            span.Fail(e);
            throw;
        }
    }

    private ValueTask EnqueueAcceptedAsync(in ProducerRecord<TKey, TValue> record, Action<DeliveryReport>? callback,
        CancellationToken cancellationToken)
    {
        try
        {
            var pending = Accept(record, new Recipient(callback), wantsAcceptance: true);
            return pending is null || pending.Accepted.IsCompletedSuccessfully
                ? default : new ValueTask(AcceptedAsync(pending, cancellationToken));
        }
        catch (ProduceException e)
        {
            return ValueTask.FromException(e);
        }
    }

    /// <inheritdoc/>
    public void Send(in ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken = default) =>
        SendBlocking(record, null, cancellationToken);

    /// <inheritdoc/>
    public void Send(in ProducerRecord<TKey, TValue> record, Action<DeliveryReport> callback, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(callback);
        SendBlocking(record, callback, cancellationToken);
    }

    /// <inheritdoc/>
    public Task FlushAsync(CancellationToken cancellationToken = default) => _core.FlushAsync(cancellationToken);

    /// <summary>
    /// Rejects further records and waits for the accepted ones, at most until the last one's delivery deadline. Failures are reported as
    /// usual.
    /// </summary>
    public ValueTask DisposeAsync() => _core.DisposeAsync();

    private void SendBlocking(in ProducerRecord<TKey, TValue> record, Action<DeliveryReport>? callback, CancellationToken cancellationToken)
    {
        if (IsCancelled(record, cancellationToken))
            cancellationToken.ThrowIfCancellationRequested();
        var sent = SendSpan.Begin(record.Topic, record.Headers) is { } span
            ? EnqueueInSpanAsync(record with { Headers = span.Headers }, callback, span, cancellationToken)
            : EnqueueAcceptedAsync(record, callback, cancellationToken);
        if (!sent.IsCompletedSuccessfully)
            sent.AsTask().GetAwaiter().GetResult();
    }

    /// <summary>Waits for room. On cancellation the record is withdrawn, unless it found room in the meantime: then it is sent.</summary>
    private async Task AcceptedAsync(PendingRecord pending, CancellationToken cancellationToken)
    {
        try
        {
            await pending.Accepted.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            if (_core.Withdraw(pending))
                throw;
            await pending.Accepted.ConfigureAwait(false);
        }
    }

    private static RecordHeader[] WithReserved(in ProducerRecord<TKey, TValue> record) =>
        record.MessageId is null ? [.. record.Headers.Span, Transient.Header]
        : record.IsPersistent ? [.. record.Headers.Span, IdOf(record)]
        : [.. record.Headers.Span, IdOf(record), Transient.Header];

    private static RecordHeader IdOf(in ProducerRecord<TKey, TValue> record)
    {
        var id = RecordHeaders.Text(MessageHeaders.MessageId, record.MessageId);
        return id.Value is { Length: >= 1 and <= MessageHeaders.MostIdBytes } ? id
            : throw new ProduceException(ErrorCode.InvalidRecord, $"The message id has {id.Value!.Value.Length} bytes; allowed are 1 to "
                + $"{MessageHeaders.MostIdBytes}. Send a shorter id, or none.", new TopicPartition(record.Topic, record.Partition ?? -1));
    }

    private PendingRecord? Accept(in ProducerRecord<TKey, TValue> record, Recipient recipient, bool wantsAcceptance,
        List<PendingRecord>? together = null)
    {
        try
        {
            return AcceptOrRefuse(record, recipient, wantsAcceptance, together);
        }
        catch (Exception e)
        {
            _core.Target.OnFailed(e as ProduceException ?? new ProduceException(ErrorCode.InvalidRecord,
                $"A record for topic '{record.Topic}' cannot be sent: {e.Message}",
                new TopicPartition(record.Topic, record.Partition ?? -1), inner: e));
            throw;
        }
    }

    private bool IsCancelled(in ProducerRecord<TKey, TValue> record, CancellationToken cancellationToken)
    {
        if (!cancellationToken.IsCancellationRequested)
            return false;
        _core.Target.OnFailed(ProducerCore.Cancelled(new TopicPartition(record.Topic, record.Partition ?? -1)));
        return true;
    }

    // Records that are sent together are only copied.
    private PendingRecord? AcceptOrRefuse(in ProducerRecord<TKey, TValue> record, Recipient recipient, bool wantsAcceptance,
        List<PendingRecord>? together)
    {
        if (record.Partition is < 0)
            throw new ProduceException(ErrorCode.UnknownTopicOrPartition, $"Partition {record.Partition} is negative.",
                new TopicPartition(record.Topic, -1));
        var buffer = SerializationBuffer.Rent();
        try
        {
            var hasKey = !_keys.IsNull(record.Key);
            var hasValue = !_values.IsNull(record.Value);
            Serialize(record, hasKey, hasValue, buffer, out var keyLength);
            var bytes = buffer.WrittenSpan;
            var headers = record is { MessageId: null, IsPersistent: true } ? record.Headers.Span : WithReserved(record);
            var data = new RecordData
            {
                Key = bytes[..keyLength],
                HasKey = hasKey,
                Value = bytes[keyLength..],
                HasValue = hasValue,
                Headers = headers,
                Timestamp = record.Timestamp?.ToUnixTimeMilliseconds() ?? _core.Clock.UnixMilliseconds,
                Size = RecordBatchBuilder.MaxRecordSize(keyLength, bytes.Length - keyLength, headers),
                Partition = record.Partition ?? -1,
                Recipient = recipient,
                IsTransient = !record.IsPersistent,
            };
            if (together is null)
                return _core.Accept(record.Topic, data, wantsAcceptance);
            together.Add(_core.Copy(record.Topic, data));
            return null;
        }
        finally
        {
            SerializationBuffer.Return(buffer);
        }
    }

    private void Serialize(in ProducerRecord<TKey, TValue> record, bool hasKey, bool hasValue, ArrayBufferWriter<byte> buffer,
        out int keyLength)
    {
        var part = "key";
        try
        {
            if (hasKey)
                _keys.Serialize(record.Key, buffer);
            keyLength = buffer.WrittenCount;
            part = "value";
            if (hasValue)
                _values.Serialize(record.Value, buffer);
        }
        catch (Exception e)
        {
            throw new ProduceException(ErrorCode.InvalidRecord,
                $"The {part} of a record for topic '{record.Topic}' cannot be serialized: {e.Message}",
                new TopicPartition(record.Topic, record.Partition ?? -1), inner: e);
        }
    }
}
