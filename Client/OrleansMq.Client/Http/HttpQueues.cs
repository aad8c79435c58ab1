using System.Globalization;
using System.Net.Http.Json;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Queues over HTTP.</summary>
internal sealed class HttpQueues(HttpBroker broker) : IQueues
{
    // The longest wait of one request; a longer one takes several.
    private static readonly TimeSpan LongestWait = TimeSpan.FromMinutes(10);

    private static QueueJson Json => QueueJson.Default;

    /// <summary>Returns the path of a queue. The names "." and ".." are refused, since in a path they always mean something else.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>.</exception>
    public static string PathOf(TopicPartition partition, string name) => name is not (null or "" or "." or "..")
        ? $"{PathOf("queues", partition)}/{Uri.EscapeDataString(name)}"
        : throw new BrokerException(ErrorCode.InvalidRequest,
            $"The queue's name is '{name}'; choose one that is not empty, '.' or '..'.");

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> CreateAsync(TopicPartition partition, NewQueue queue,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(queue);
        var body = new CreateQueueBody(HttpContract.FormatQueueStart(queue.Start), QueueOptionsBody.Of(queue.Options));
        return (await broker.AskAsync(HttpMethod.Put, PathOf(partition, queue.Name),
            () => JsonContent.Create(body, Json.CreateQueueBody), Json.QueueDocument, cancellationToken).ConfigureAwait(false))
            .ToDescription();
    }

    /// <inheritdoc/>
    public async ValueTask DeleteAsync(TopicPartition partition, string name, Guid? id = null,
        CancellationToken cancellationToken = default)
    {
        // The id is found once: a request that is sent again does not delete the next queue of the name.
        var queue = id ?? (await broker.DescribeQueueAsync(partition, name, cancellationToken).ConfigureAwait(false)).Id;
        await broker.TellAsync(HttpMethod.Delete, PathOf(partition, name) + QueryOf(queue), null, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> DescribeAsync(TopicPartition partition, string name,
        CancellationToken cancellationToken = default) =>
        (await broker.DescribeQueueAsync(partition, name, cancellationToken).ConfigureAwait(false)).ToDescription();

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueDescription>> ListAsync(TopicPartition partition,
        CancellationToken cancellationToken = default) =>
        [.. (await broker.AskAsync(HttpMethod.Get, PathOf("queues", partition), null, Json.IReadOnlyListQueueDocument, cancellationToken)
            .ConfigureAwait(false)).Select(static queue => queue.ToDescription())];

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueHandler>> ListHandlersAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default) =>
        [.. (await broker.AskAsync(HttpMethod.Get, string.Create(CultureInfo.InvariantCulture,
            $"{PathOf(partition, name)}/handlers?max={maxRecords}"), null, Json.IReadOnlyListQueueHandlerDocument, cancellationToken)
            .ConfigureAwait(false)).Select(static handler => handler.ToHandler())];

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> ResetAsync(TopicPartition partition, string name, OffsetSpec start, Guid? id = null,
        CancellationToken cancellationToken = default)
    {
        // The end is found once: a request that is sent again passes over no record that came after the caller's.
        var first = start.IsAt(OffsetSpec.Latest)
            ? OffsetSpec.AtOffset(await broker.EndOfAsync(partition, cancellationToken).ConfigureAwait(false)) : start;
        var body = new ResetQueueBody(HttpContract.FormatQueueStart(first));
        return (await broker.AskAsync(HttpMethod.Post, $"{PathOf(partition, name)}/reset{QueryOf(id)}",
            () => JsonContent.Create(body, Json.ResetQueueBody), Json.QueueDocument, cancellationToken).ConfigureAwait(false))
            .ToDescription();
    }

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> AlterAsync(TopicPartition partition, string name, QueueOptions options, Guid? id = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        var body = QueueOptionsBody.Of(options);
        return (await broker.AskAsync(HttpMethod.Put, $"{PathOf(partition, name)}/options{QueryOf(id)}",
            () => JsonContent.Create(body, Json.QueueOptionsBody), Json.QueueDocument, cancellationToken).ConfigureAwait(false))
            .ToDescription();
    }

    /// <inheritdoc/>
    public async ValueTask PurgeAsync(TopicPartition partition, string name, long? below = null,
        CancellationToken cancellationToken = default)
    {
        var path = PathOf(partition, name);
        // The end is found once: a request that is sent again purges no record that came after the caller's.
        var end = below ?? await broker.EndOfAsync(partition, cancellationToken).ConfigureAwait(false);
        await broker.TellAsync(HttpMethod.Post, string.Create(CultureInfo.InvariantCulture, $"{path}/purge?below={end}"), null,
            cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueRecord>> PeekAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default) =>
        [.. (await broker.AskAsync(HttpMethod.Get, string.Create(CultureInfo.InvariantCulture,
            $"{PathOf(partition, name)}/records?max={maxRecords}&encoding=base64"), null, Json.IReadOnlyListQueueRecordBody,
            cancellationToken).ConfigureAwait(false)).Select(static record => record.ToRecord())];

    /// <inheritdoc/>
    public async ValueTask<Guid> AttachAsync(TopicPartition partition, string name, QueueAttachOptions options,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        var body = AttachQueueBody.Of(options);
        return (await broker.OfferAsync(PathOf(partition, name) + "/consumers", () => JsonContent.Create(body, Json.AttachQueueBody),
            Json.AttachedQueueConsumer, TimeSpan.Zero, cancellationToken).ConfigureAwait(false)).Consumer;
    }

    /// <inheritdoc/>
    public async ValueTask<QueueDelivery?> ReceiveAsync(TopicPartition partition, Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken = default)
    {
        for (var left = maxWait > TimeSpan.Zero ? maxWait : TimeSpan.Zero; ; left -= LongestWait)
        {
            var wait = left < LongestWait ? left : LongestWait;
            var path = string.Create(CultureInfo.InvariantCulture,
                $"{PathOf(partition, consumer)}/receive?max={maxRecords}&waitMs={Milliseconds.Of(wait)}&encoding=base64");
            var answer = await broker.OfferAsync(path, static () => new ByteArrayContent([]), Json.QueueDeliveryBody, wait,
                cancellationToken).ConfigureAwait(false);
            if (answer.ToDelivery() is { } delivery)
                return delivery;
            if (left <= LongestWait)
                return null;
        }
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<ErrorCode>> SettleAsync(TopicPartition partition, Guid consumer,
        IReadOnlyList<QueueSettlement> settlements, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(settlements);
        var body = new SettleQueueBody([.. settlements.Select(QueueSettlementBody.Of)]);
        return (await broker.OfferAsync(PathOf(partition, consumer) + "/settle", () => JsonContent.Create(body, Json.SettleQueueBody),
            Json.SettledQueueBody, TimeSpan.Zero, cancellationToken).ConfigureAwait(false)).Errors;
    }

    /// <inheritdoc/>
    public ValueTask DetachAsync(TopicPartition partition, Guid consumer, CancellationToken cancellationToken = default) =>
        broker.TellAsync(HttpMethod.Delete, PathOf(partition, consumer), null, cancellationToken);

    private static string QueryOf(Guid? id) => id is { } known ? $"?id={known:D}" : "";

    private static string PathOf(TopicPartition partition, Guid consumer) => $"{PathOf("queue-consumers", partition)}/{consumer:D}";

    private static string PathOf(string root, TopicPartition partition) => string.Create(CultureInfo.InvariantCulture,
        $"api/{root}/{Uri.EscapeDataString(partition.Topic)}/{partition.Partition}");
}
