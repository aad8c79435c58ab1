using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Partitions;

namespace OrleansMq.Grains.Brokers;

/// <summary>
/// Queues over grains. Where this silo leads the partition, calls go to the engine. While a partition's leadership moves, requests
/// that had no effect are repeated for a while, except those of an attached consumer, which ends with the leadership. Thread safe.
/// </summary>
/// <param name="broker">Finds the partitions' grains.</param>
/// <param name="local">On a silo, the partitions that are active there.</param>
/// <param name="options">Times.</param>
internal sealed class GrainQueues(GrainBroker broker, ILocalPartitions? local, GrainBrokerOptions options) : IQueues
{
    // How much earlier than by this clock a call may be over by the leader's.
    private static readonly TimeSpan ClockTolerance = TimeSpan.FromMilliseconds(50);

    // What a call settles at most.
    private const int SettlementsPerCall = 1_000;

    private readonly LocalQueues _here = new(partition => local is not null && local.TryGet(partition, out var found) ? found
        : throw new BrokerException(ErrorCode.NotLeaderOrFollower, $"{partition} is not led here any more. Retry."));

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> CreateAsync(TopicPartition partition, NewQueue queue,
        CancellationToken cancellationToken = default) =>
        await RepeatAsync(partition, () => _here.CreateAsync(partition, queue, cancellationToken).AsTask(),
            calls => calls.CreateAsync(queue, cancellationToken), cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask DeleteAsync(TopicPartition partition, string name, Guid? id = null,
        CancellationToken cancellationToken = default)
    {
        var queue = id ?? await IdOfAsync(partition, name, cancellationToken).ConfigureAwait(false);
        await RepeatAsync(partition, () => Done(_here.DeleteAsync(partition, name, queue, cancellationToken).AsTask()),
            calls => Done(calls.DeleteAsync(name, queue, cancellationToken)), cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> DescribeAsync(TopicPartition partition, string name,
        CancellationToken cancellationToken = default) =>
        await RepeatAsync(partition, () => _here.DescribeAsync(partition, name, cancellationToken).AsTask(),
            calls => calls.DescribeAsync(name, cancellationToken), cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueDescription>> ListAsync(TopicPartition partition,
        CancellationToken cancellationToken = default) =>
        await RepeatAsync(partition, () => _here.ListAsync(partition, cancellationToken).AsTask(),
            calls => Listed(calls.ListAsync(cancellationToken)), cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<QueueDescription?> DescribeShareAsync(TopicPartition partition, string groupId,
        CancellationToken cancellationToken = default) =>
        await RepeatAsync(partition, () => _here.DescribeShareAsync(partition, groupId, cancellationToken).AsTask(),
            calls => calls.DescribeShareAsync(groupId, cancellationToken), cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueHandler>> ListHandlersAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default) =>
        await RepeatAsync(partition, () => _here.ListHandlersAsync(partition, name, maxRecords, cancellationToken).AsTask(),
            calls => Listed(calls.ListHandlersAsync(name, maxRecords, cancellationToken)), cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> ResetAsync(TopicPartition partition, string name, OffsetSpec start, Guid? id = null,
        CancellationToken cancellationToken = default)
    {
        var queue = id ?? await IdOfAsync(partition, name, cancellationToken).ConfigureAwait(false);
        // The end is found once: a call that is carried out late, or again, passes over no record that came after the caller's.
        var first = start.IsAt(OffsetSpec.Latest)
            ? OffsetSpec.AtOffset(await EndOfAsync(partition, cancellationToken).ConfigureAwait(false)) : start;
        return await RepeatAsync(partition, () => _here.ResetAsync(partition, name, first, queue, cancellationToken).AsTask(),
            calls => calls.ResetAsync(name, first, queue, cancellationToken), cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<QueueDescription> AlterAsync(TopicPartition partition, string name, QueueOptions options, Guid? id = null,
        CancellationToken cancellationToken = default)
    {
        var queue = id ?? await IdOfAsync(partition, name, cancellationToken).ConfigureAwait(false);
        return await RepeatAsync(partition, () => _here.AlterAsync(partition, name, options, queue, cancellationToken).AsTask(),
            calls => calls.AlterAsync(name, options, queue, cancellationToken), cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask PurgeAsync(TopicPartition partition, string name, long? below = null,
        CancellationToken cancellationToken = default)
    {
        // The end is found once: a call that is carried out late, or again, purges no record that came after the caller's.
        var end = below ?? await EndOfAsync(partition, cancellationToken).ConfigureAwait(false);
        await RepeatAsync(partition, () => Done(_here.PurgeAsync(partition, name, end, cancellationToken).AsTask()),
            calls => Done(calls.PurgeAsync(name, end, cancellationToken)), cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<QueueRecord>> PeekAsync(TopicPartition partition, string name, int maxRecords,
        CancellationToken cancellationToken = default) =>
        await RepeatAsync(partition, () => _here.PeekAsync(partition, name, maxRecords, cancellationToken).AsTask(),
            calls => Listed(calls.PeekAsync(name, maxRecords, cancellationToken)), cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<Guid> AttachAsync(TopicPartition partition, string name, QueueAttachOptions options,
        CancellationToken cancellationToken = default) =>
        await RepeatAsync(partition, () => _here.AttachAsync(partition, name, options, cancellationToken).AsTask(),
            calls => calls.AttachAsync(name, options, cancellationToken), cancellationToken).ConfigureAwait(false);

    /// <inheritdoc/>
    /// <remarks>A series of calls, none longer than <see cref="GrainBrokerOptions.MaxWaitPerCall"/>.</remarks>
    public async ValueTask<QueueDelivery?> ReceiveAsync(TopicPartition partition, Guid consumer, int maxRecords, TimeSpan maxWait,
        CancellationToken cancellationToken = default)
    {
        if (IsHere(partition))
            return await _here.ReceiveAsync(partition, consumer, maxRecords, maxWait, cancellationToken).ConfigureAwait(false);
        var began = options.TimeProvider.GetTimestamp();
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var called = options.TimeProvider.GetTimestamp();
            var left = maxWait - options.TimeProvider.GetElapsedTime(began, called);
            var wait = left <= TimeSpan.Zero ? TimeSpan.Zero : left < options.MaxWaitPerCall ? left : options.MaxWaitPerCall;
            var delivery = await OrReleaseAsync(partition, consumer,
                CallAsync(partition, calls => calls.ReceiveAsync(consumer, maxRecords, wait, CancellationToken.None)), cancellationToken)
                .ConfigureAwait(false);
            // A later receive of the consumer ends this one early. Repeated, it would end that one in turn.
            if (delivery is not null || wait == left || wait == TimeSpan.Zero
                || options.TimeProvider.GetElapsedTime(called) + ClockTolerance < wait)
                return delivery;
        }
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<ErrorCode>> SettleAsync(TopicPartition partition, Guid consumer,
        IReadOnlyList<QueueSettlement> settlements, CancellationToken cancellationToken = default)
    {
        if (IsHere(partition))
            return await _here.SettleAsync(partition, consumer, settlements, cancellationToken).ConfigureAwait(false);
        return await CallAsync(partition, calls => calls.SettleAsync(consumer, [.. settlements], cancellationToken)).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DetachAsync(TopicPartition partition, Guid consumer, CancellationToken cancellationToken = default)
    {
        if (IsHere(partition))
            await _here.DetachAsync(partition, consumer, cancellationToken).ConfigureAwait(false);
        else
            await CallAsync(partition, calls => Done(calls.DetachAsync(consumer, cancellationToken))).ConfigureAwait(false);
    }

    // Orleans drops the answer to a cancelled call, and its records would be held for as long as the consumer is attached. So the call goes
    // on, and what it brings goes back.
    private async Task<QueueDelivery?> OrReleaseAsync(TopicPartition partition, Guid consumer, Task<QueueDelivery?> receiving,
        CancellationToken cancellationToken)
    {
        try
        {
            return await receiving.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            _ = ReleaseAsync(partition, consumer, receiving);
            throw;
        }
    }

    private async Task ReleaseAsync(TopicPartition partition, Guid consumer, Task<QueueDelivery?> receiving)
    {
        try
        {
            if (await receiving.ConfigureAwait(false) is not { } late)
                return;
            foreach (var some in late.Records.Chunk(SettlementsPerCall))
                await SettleAsync(partition, consumer, [.. some.Select(record =>
                    new QueueSettlement(late.Lock, record.Offset, record.Offset, QueueAction.Release))]).ConfigureAwait(false);
        }
        catch (Exception unanswered) when (unanswered is BrokerException or OrleansException or TimeoutException)
        {
            // The leadership moved, or the consumer is gone: either has given the records back.
        }
    }

    // A call that is carried out late must do nothing to the next queue of the name.
    private async ValueTask<Guid> IdOfAsync(TopicPartition partition, string name, CancellationToken cancellationToken) =>
        (await DescribeAsync(partition, name, cancellationToken).ConfigureAwait(false)).Id;

    // A new leader knows the end as soon as its replicas have answered.
    private async ValueTask<long> EndOfAsync(TopicPartition partition, CancellationToken cancellationToken)
    {
        var end = await LeaderPatience.RepeatAsync(options, () => broker.FindOffsetAsync(partition, OffsetSpec.Latest, cancellationToken),
            static found => found.Error == ErrorCode.OffsetNotAvailable, cancellationToken).ConfigureAwait(false);
        return end.Error == ErrorCode.None ? end.Offset : throw new BrokerException(end.Error, end.Message ?? "");
    }

    private bool IsHere(TopicPartition partition) => local is not null && local.TryGet(partition, out _);

    private async Task<T> RepeatAsync<T>(TopicPartition partition, Func<Task<T>> here, Func<QueueCalls, Task<T>> call,
        CancellationToken cancellationToken) =>
        ValueOf(await LeaderPatience.RepeatAsync(options,
            // The look-up of the topic takes no token.
            () => new ValueTask<Outcome<T>>(IsHere(partition) ? OutcomeOfAsync(here())
                : OnceAsync(partition, call).AsTask().WaitAsync(cancellationToken)),
            static outcome => LeaderPatience.HasMoved(outcome.Error), cancellationToken).ConfigureAwait(false));

    private async Task<T> CallAsync<T>(TopicPartition partition, Func<QueueCalls, Task<T>> call) =>
        ValueOf(await OnceAsync(partition, call).ConfigureAwait(false));

    private ValueTask<Outcome<T>> OnceAsync<T>(TopicPartition partition, Func<QueueCalls, Task<T>> call) => broker.CallAsync(partition,
        grains => broker.Answer(OutcomeOfAsync(call(grains.Grain.Queues))), static outcome => outcome.Error,
        static (error, message) => new Outcome<T>(error, default, message));

    private static T ValueOf<T>(Outcome<T> outcome) =>
        outcome.Error == ErrorCode.None ? outcome.Value! : throw new BrokerException(outcome.Error, outcome.Message!);

    private static async Task<Outcome<T>> OutcomeOfAsync<T>(Task<T> call)
    {
        try
        {
            return new Outcome<T>(ErrorCode.None, await call.ConfigureAwait(false), null);
        }
        catch (BrokerException refused)
        {
            return new Outcome<T>(refused.Code, default, refused.Message);
        }
    }

    private static async Task<bool> Done(Task call)
    {
        await call.ConfigureAwait(false);
        return true;
    }

    private static async Task<IReadOnlyList<T>> Listed<T>(Task<T[]> call) => await call.ConfigureAwait(false);

    private readonly record struct Outcome<T>(ErrorCode Error, T? Value, string? Message);
}
