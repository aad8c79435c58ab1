using System.Globalization;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Tests.Shared;

/// <summary>The contract of <see cref="IQueues"/>; one subclass for each implementation. Tests may share a broker that is not empty, so
/// each test uses its own topic.</summary>
public abstract class QueueConformance
{
    private const string Name = "work";
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);
    // How long a receive waits for what comes at once: it ends before the deadline.
    private static readonly TimeSpan LongPoll = TimeSpan.FromSeconds(30);

    /// <summary>The broker whose queues are under test.</summary>
    protected abstract ValueTask<IBroker> BrokerAsync();

    /// <summary>Whether calls arrive in the order in which they are made, also those that do not wait for each other.</summary>
    protected virtual bool KeepsOrder => true;

    [SkippableFact]
    public async Task Created_queue_is_listed_and_creating_it_again_changes_nothing()
    {
        var (queues, partition) = await StartAsync("one");
        var options = new QueueOptions
        {
            MaxFailures = 3,
            RetryDelay = TimeSpan.FromSeconds(2),
            MaxRetryDelay = TimeSpan.FromMinutes(1),
            IsOrderedByKey = true,
        };
        var created = await queues.CreateAsync(partition, new NewQueue("b") { Options = options });
        Assert.Equal(("b", options, 0L), (created.Name, created.Options, created.Floor));
        var again = await queues.CreateAsync(partition, new NewQueue("b"));
        Assert.Equal((created.Id, options), (again.Id, again.Options));
        await queues.CreateAsync(partition, new NewQueue("a"));
        Assert.Equal(["a", "b", Name], (await queues.ListAsync(partition)).Select(queue => queue.Name));
        await queues.DeleteAsync(partition, "a");
        Assert.Equal(["b", Name], (await queues.ListAsync(partition)).Select(queue => queue.Name));
        Assert.Equal(ErrorCode.GroupIdNotFound, await ErrorOf(() => queues.DescribeAsync(partition, "a")));
        Assert.Equal(ErrorCode.GroupIdNotFound, await ErrorOf(() => queues.AttachAsync(partition, "a", new QueueAttachOptions())));
    }

    [SkippableFact]
    public async Task Bad_requests_are_refused()
    {
        var (queues, partition) = await StartAsync();
        var consumer = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.CreateAsync(partition, new NewQueue(""))));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.CreateAsync(partition,
            new NewQueue("x") { Options = new QueueOptions { MaxFailures = -1 } })));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.AttachAsync(partition, Name,
            new QueueAttachOptions { SessionTimeout = TimeSpan.Zero })));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.AttachAsync(partition, Name,
            new QueueAttachOptions { LockDuration = TimeSpan.FromMilliseconds(999) })));
        QueueAttachOptions[] runs = [new() { KeyRun = 1_001, Prefetch = 10 }, new() { KeyRun = 2 },
            new() { KeyRun = 2, Prefetch = 10, LockDuration = TimeSpan.FromMinutes(1) }];
        foreach (var options in runs)
            Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.AttachAsync(partition, Name, options)));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.SettleAsync(partition, consumer,
            [.. Enumerable.Repeat(new QueueSettlement(default, 0, 0, QueueAction.Accept), 1_001)])));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.ReceiveAsync(partition, consumer, -1, TimeSpan.Zero)));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.ReceiveAsync(partition, consumer, 10_001, TimeSpan.Zero)));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.SettleAsync(partition, consumer,
            [new QueueSettlement(default, 0, 0, QueueAction.Unknown)])));
        foreach (var action in (QueueAction[])[QueueAction.Accept, QueueAction.Fail, QueueAction.Reject, QueueAction.Renew])
        {
            var refused = await Assert.ThrowsAsync<BrokerException>(async () => await queues.SettleAsync(partition, consumer,
                [new QueueSettlement(default, 0, 0, action) { IsUncounted = true }]));
            Assert.Equal(ErrorCode.InvalidRequest, refused.Code);
            Assert.Contains(nameof(QueueSettlement.IsUncounted), refused.Message, StringComparison.Ordinal);
        }
        Assert.Equal(ErrorCode.UnknownMemberId, await ErrorOf(() => queues.ReceiveAsync(partition, Guid.NewGuid(), 1, TimeSpan.Zero)));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, await ErrorOf(() => queues.ListAsync(partition with { Partition = 7 })));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition,
            await ErrorOf(() => queues.ListAsync(new TopicPartition("none-" + Guid.NewGuid().ToString("N"), 0))));
    }

    [SkippableFact]
    public async Task Record_comes_whole_and_is_not_delivered_again_once_it_is_accepted()
    {
        var (queues, partition) = await StartAsync("one", "two", "three");
        var consumer = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        var delivery = await ReceiveAsync(queues, partition, consumer, 2);
        Assert.Equal(["one", "two"], delivery.Records.Select(Text));
        var first = delivery.Records[0];
        Assert.Equal(("one", TestBatches.FirstTimestamp, 1, 0, false), (Encoding.UTF8.GetString(first.Key!.Value.Span), first.Timestamp,
            first.Deliveries, first.Failures, first.IsRedelivered));
        Assert.Empty(first.Headers);
        // No other consumer settles what this one holds.
        var other = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        Assert.Equal([ErrorCode.InvalidRecordState], await SettleAsync(queues, partition, other, delivery, 0, QueueAction.Accept));
        await queues.DetachAsync(partition, other);
        Assert.Equal([ErrorCode.None], await SettleAsync(queues, partition, consumer, delivery, 0, QueueAction.Accept));
        // The lock has ended for that record.
        Assert.Equal([ErrorCode.InvalidRecordState], await SettleAsync(queues, partition, consumer, delivery, 0, QueueAction.Accept));
        var described = await queues.DescribeAsync(partition, Name);
        Assert.Equal((1, 1, 1L), (described.Consumers, described.Held, described.Accepted));
        await queues.DetachAsync(partition, consumer);
        Assert.Equal(ErrorCode.UnknownMemberId, await ErrorOf(() => queues.ReceiveAsync(partition, consumer, 1, TimeSpan.Zero)));
        // The other record has returned to its place.
        var next = await queues.AttachAsync(partition, Name, new QueueAttachOptions { Prefetch = 10 });
        var rest = new List<(string, int)>();
        while (rest.Count < 2)
            rest.AddRange((await ReceiveAsync(queues, partition, next, 10)).Records.Select(record => (Text(record), record.Deliveries)));
        Assert.Equal([("two", 2), ("three", 1)], rest);
    }

    [SkippableFact]
    public async Task Receive_waits_for_a_record_and_a_later_one_takes_its_place()
    {
        var (queues, partition) = await StartAsync();
        var consumer = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        Assert.Null(await queues.ReceiveAsync(partition, consumer, 1, TimeSpan.Zero));
        var given = queues.ReceiveAsync(partition, consumer, 1, LongPoll).AsTask();
        // It has arrived.
        await queues.DescribeAsync(partition, Name);
        var waiting = queues.ReceiveAsync(partition, consumer, 1, LongPoll).AsTask();
        var ended = await Task.WhenAny(given, waiting).WaitAsync(Deadline);
        Assert.Null(await ended);
        if (!KeepsOrder && ended == waiting)
            waiting = given;
        Assert.NotSame(ended, waiting);
        await ProduceAsync(partition, "one");
        Assert.Equal("one", Text(Assert.Single((await waiting.WaitAsync(Deadline))!.Records)));
    }

    [SkippableFact]
    public async Task Failed_record_comes_again_until_its_limit_and_a_rejected_one_never()
    {
        var (queues, partition) = await StartAsync("bad", "worse");
        await queues.CreateAsync(partition, new NewQueue("limited") { Options = new QueueOptions { MaxFailures = 2 } });
        var consumer = await queues.AttachAsync(partition, "limited", new QueueAttachOptions());
        var delivery = await ReceiveAsync(queues, partition, consumer, 2);
        Assert.Equal([ErrorCode.None, ErrorCode.None], await queues.SettleAsync(partition, consumer,
        [
            new QueueSettlement(delivery.Lock, delivery.Records[0].Offset, delivery.Records[0].Offset, QueueAction.Fail),
            new QueueSettlement(delivery.Lock, delivery.Records[1].Offset, delivery.Records[1].Offset, QueueAction.Reject),
        ]));
        delivery = await ReceiveAsync(queues, partition, consumer, 2);
        var again = Assert.Single(delivery.Records);
        Assert.Equal(("bad", 2, 1, true), (Text(again), again.Deliveries, again.Failures, again.IsRedelivered));
        Assert.Equal([ErrorCode.None], await SettleAsync(queues, partition, consumer, delivery, 0, QueueAction.Fail));
        Assert.Null(await queues.ReceiveAsync(partition, consumer, 2, TimeSpan.FromMilliseconds(200)));
        Assert.Equal(2, (await queues.DescribeAsync(partition, "limited")).Rejected);
        // Another queue of the partition has its own view.
        var other = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        Assert.Equal(["bad", "worse"], (await ReceiveAsync(queues, partition, other, 2)).Records.Select(Text));
    }

    [SkippableFact]
    public async Task Released_record_waits_for_its_delay_and_a_renewed_lock_lasts()
    {
        var (queues, partition) = await StartAsync("one", "two");
        var consumer = await queues.AttachAsync(partition, Name, new QueueAttachOptions { LockDuration = TimeSpan.FromHours(1) });
        var delivery = await ReceiveAsync(queues, partition, consumer, 1);
        var offset = delivery.Records[0].Offset;
        // A settlement that is refused takes no other along.
        Assert.Equal([ErrorCode.InvalidRequest, ErrorCode.None], await queues.SettleAsync(partition, consumer,
            [new QueueSettlement(delivery.Lock, offset, offset, QueueAction.Release) { Delay = TimeSpan.FromSeconds(-1) },
                new QueueSettlement(delivery.Lock, offset, offset, QueueAction.Renew)]));
        Assert.Equal([ErrorCode.None], await queues.SettleAsync(partition, consumer,
            [new QueueSettlement(delivery.Lock, offset, offset, QueueAction.Release) { Delay = TimeSpan.FromHours(1) }]));
        Assert.Equal("two", Text(Assert.Single((await ReceiveAsync(queues, partition, consumer, 2)).Records)));
        Assert.Equal(["one", "two"], (await queues.PeekAsync(partition, Name, 10)).Select(Text));
    }

    [SkippableFact]
    public async Task Release_that_does_not_count_leaves_the_deliveries_as_they_were()
    {
        var (queues, partition) = await StartAsync("one");
        var consumer = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        int[] deliveries = [1, 2, 3, 3, 3];
        foreach (var expected in deliveries)
        {
            var delivery = await ReceiveAsync(queues, partition, consumer, 1);
            var record = Assert.Single(delivery.Records);
            Assert.Equal((expected, 0, expected > 1), (record.Deliveries, record.Failures, record.IsRedelivered));
            Assert.Equal([ErrorCode.None], await queues.SettleAsync(partition, consumer,
                [new QueueSettlement(delivery.Lock, record.Offset, record.Offset, QueueAction.Release) { IsUncounted = expected > 2 }]));
        }
    }

    [SkippableFact]
    public async Task Handlers_are_what_consumers_hold_the_longest_first()
    {
        var (queues, partition) = await StartAsync("one", "two", "three");
        Assert.Empty(await queues.ListHandlersAsync(partition, Name, 10));
        var consumer = await queues.AttachAsync(partition, Name, new QueueAttachOptions { LockDuration = TimeSpan.FromMinutes(5) });
        var other = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        var first = await ReceiveAsync(queues, partition, consumer, 1);
        await Task.Delay(5);
        var second = await ReceiveAsync(queues, partition, other, 1);
        var handlers = await queues.ListHandlersAsync(partition, Name, 10);
        Assert.Equal([(consumer, first.Records[0].Offset, 1, 0, false), (other, second.Records[0].Offset, 1, 0, false)],
            handlers.Select(one => (one.Consumer, one.Offset, one.Deliveries, one.Failures, one.IsWaiting)));
        Assert.InRange(handlers[0].Held, handlers[1].Held, TimeSpan.FromMinutes(5));
        Assert.InRange(handlers[0].LockLeft ?? default, TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(5));
        Assert.Null(handlers[1].LockLeft);
        Assert.Equal([consumer], (await queues.ListHandlersAsync(partition, Name, 1)).Select(one => one.Consumer));
        Assert.Equal([ErrorCode.None], await SettleAsync(queues, partition, consumer, first, 0, QueueAction.Accept));
        Assert.Equal([other], (await queues.ListHandlersAsync(partition, Name, 10)).Select(one => one.Consumer));
        Assert.Equal(ErrorCode.GroupIdNotFound, await ErrorOf(() => queues.ListHandlersAsync(partition, "none", 10)));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.ListHandlersAsync(partition, Name, 1_001)));
    }

    [SkippableFact]
    public async Task Purged_queue_is_empty_and_a_reset_one_begins_anew()
    {
        var (queues, partition) = await StartAsync("one", "two");
        var id = (await queues.DescribeAsync(partition, Name)).Id;
        await queues.PurgeAsync(partition, Name);
        Assert.Empty(await queues.PeekAsync(partition, Name, 10));
        var consumer = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        Assert.Null(await queues.ReceiveAsync(partition, consumer, 10, TimeSpan.Zero));
        var reset = await queues.ResetAsync(partition, Name, OffsetSpec.AtOrAfter(TestBatches.FirstTimestamp + 1));
        Assert.NotEqual(id, reset.Id);
        await queues.DetachAsync(partition, consumer);
        consumer = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        Assert.Equal("two", Text(Assert.Single((await ReceiveAsync(queues, partition, consumer, 10)).Records)));
        await queues.ResetAsync(partition, Name, OffsetSpec.Latest);
        Assert.Empty(await queues.PeekAsync(partition, Name, 10));
        var end = (await (await BrokerAsync()).FindOffsetAsync(partition, OffsetSpec.Latest)).Offset;
        var second = (await queues.ResetAsync(partition, Name, OffsetSpec.AtOrAfter(TestBatches.FirstTimestamp + 1))).Floor;
        reset = await queues.ResetAsync(partition, Name, OffsetSpec.AtOffset(second));
        Assert.Equal(second, reset.Floor);
        Assert.Equal(["two"], (await queues.PeekAsync(partition, Name, 10)).Select(Text));
        Assert.Equal(ErrorCode.OffsetOutOfRange, await ErrorOf(() => queues.ResetAsync(partition, Name,
            OffsetSpec.AtOffset(end + 1_000_000))));
        Assert.Equal(reset.Id, (await queues.DescribeAsync(partition, Name)).Id);
        var created = await queues.CreateAsync(partition, new NewQueue("from") { Start = OffsetSpec.AtOffset(second) });
        Assert.Equal((second, 1L), (created.Floor, created.Unsettled));
    }

    [SkippableFact]
    public async Task Change_for_a_queue_that_was_deleted_leaves_the_next_one_of_its_name_alone()
    {
        var (queues, partition) = await StartAsync("one");
        var first = await queues.DescribeAsync(partition, Name);
        await queues.DeleteAsync(partition, Name, first.Id);
        var next = await queues.CreateAsync(partition, new NewQueue(Name));
        Assert.NotEqual(first.Id, next.Id);
        Assert.Equal(ErrorCode.GroupIdNotFound, await ErrorOf(() => queues.AlterAsync(partition, Name,
            next.Options with { MaxFailures = 7 }, first.Id)));
        Assert.Equal(ErrorCode.GroupIdNotFound, await ErrorOf(() => queues.ResetAsync(partition, Name, OffsetSpec.Latest, first.Id)));
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await queues.DeleteAsync(partition, Name, first.Id));
        Assert.Equal(ErrorCode.GroupIdNotFound, refused.Code);
        Assert.Contains($"{first.Id}", refused.Message, StringComparison.Ordinal);
        var described = await queues.DescribeAsync(partition, Name);
        Assert.Equal((next.Id, next.Options.MaxFailures, next.Floor), (described.Id, described.Options.MaxFailures, described.Floor));
        Assert.Equal(7, (await queues.AlterAsync(partition, Name, next.Options with { MaxFailures = 7 }, next.Id)).Options.MaxFailures);
        var reset = await queues.ResetAsync(partition, Name, OffsetSpec.Latest, next.Id);
        Assert.Empty(await queues.PeekAsync(partition, Name, 10));
        await queues.DeleteAsync(partition, Name, reset.Id);
        Assert.Empty(await queues.ListAsync(partition));
    }

    [SkippableFact]
    public async Task Purge_below_an_offset_leaves_what_came_after_it()
    {
        var (queues, partition) = await StartAsync("one", "two");
        var end = (await (await BrokerAsync()).FindOffsetAsync(partition, OffsetSpec.Latest)).Offset;
        await ProduceAsync(partition, "three");
        // The second one is as a repetition that comes late.
        for (var attempt = 1; attempt <= 2; attempt++)
        {
            await queues.PurgeAsync(partition, Name, end);
            Assert.Equal(["three"], (await queues.PeekAsync(partition, Name, 10)).Select(Text));
        }
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await queues.PurgeAsync(partition, Name, -1));
        Assert.Equal(ErrorCode.InvalidRequest, refused.Code);
        Assert.Contains("below", refused.Message, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Rejected_record_and_one_that_failed_too_often_are_in_the_dead_letter_topic()
    {
        var (queues, partition) = await StartAsync("bad", "worse", "good");
        var (broker, letters) = (await BrokerAsync(), new TopicPartition(partition.Topic + ".dead-letter", 0));
        await broker.CreateTopicAsync(new NewTopic(letters.Topic, 1));
        var options = new QueueOptions { MaxFailures = 1, DeadLetterTopic = letters.Topic };
        Assert.Equal(options, (await queues.CreateAsync(partition, new NewQueue("strict") { Options = options })).Options);
        var consumer = await queues.AttachAsync(partition, "strict", new QueueAttachOptions());
        var delivery = await ReceiveAsync(queues, partition, consumer, 3);
        var (bad, worse, good) = (delivery.Records[0].Offset, delivery.Records[1].Offset, delivery.Records[2].Offset);
        Assert.Equal([ErrorCode.None, ErrorCode.None, ErrorCode.None], await queues.SettleAsync(partition, consumer,
        [
            new QueueSettlement(delivery.Lock, bad, bad, QueueAction.Fail),
            new QueueSettlement(delivery.Lock, worse, worse, QueueAction.Reject) { Reason = "no such customer" },
            new QueueSettlement(delivery.Lock, good, good, QueueAction.Accept),
        ]));
        var read = await ReadAsync(broker, letters, 2);
        Assert.Equal(["bad", "worse"], read.Select(letter => Encoding.UTF8.GetString(letter.Value!)));
        Assert.Equal(["bad", "worse"], read.Select(letter => Encoding.UTF8.GetString(letter.Key!)));
        Assert.Equal(
        [
            ("topic", partition.Topic), ("partition", "0"), ("offset", $"{worse}"), ("timestamp", $"{TestBatches.FirstTimestamp + 1000}"),
            ("group", "strict"), ("attempts", "1"), ("reason", "no such customer"), ("cause", "rejected"),
        ], read[1].Headers.Where(header => header.Name != "omq.dead-letter.decided-at")
            .Select(header => (header.Name["omq.dead-letter.".Length..], header.Value)));
        Assert.Contains(("omq.dead-letter.cause", "failed"), read[0].Headers);
        Assert.Null(await queues.ReceiveAsync(partition, consumer, 3, TimeSpan.FromMilliseconds(200)));
        // Another queue of the topic has its own view.
        var other = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        Assert.Equal(["bad", "worse", "good"], (await ReceiveAsync(queues, partition, other, 3)).Records.Select(Text));
    }

    [SkippableFact]
    public async Task Dead_letter_topic_that_does_not_serve_is_refused()
    {
        var (queues, partition) = await StartAsync();
        var compacted = partition.Topic + ".compacted";
        await (await BrokerAsync()).CreateTopicAsync(new NewTopic(compacted, 1,
            Configs: new Dictionary<string, string> { ["cleanup.policy"] = "compact" }));
        var small = partition.Topic + ".small";
        await (await BrokerAsync()).CreateTopicAsync(new NewTopic(small, 1,
            Configs: new Dictionary<string, string> { ["max.message.bytes"] = "1000" }));
        foreach (var topic in (string[])[partition.Topic, partition.Topic + ".missing", "no/name", compacted, small])
        {
            Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.CreateAsync(partition,
                new NewQueue("refused") { Options = new QueueOptions { DeadLetterTopic = topic } })));
        }
        Assert.Equal([Name], (await queues.ListAsync(partition)).Select(queue => queue.Name));
    }

    [SkippableFact]
    public async Task Description_counts_records_and_not_what_stands_between_them_in_the_log()
    {
        var (queues, partition) = await StartAsync("one", "two", "three", "four");
        var consumer = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        var delivery = await ReceiveAsync(queues, partition, consumer, 3);
        Assert.Equal([ErrorCode.None], await SettleAsync(queues, partition, consumer, delivery, 0, QueueAction.Accept));
        Assert.Equal([ErrorCode.None], await queues.SettleAsync(partition, consumer, [new QueueSettlement(delivery.Lock,
            delivery.Records[1].Offset, delivery.Records[1].Offset, QueueAction.Release) { Delay = TimeSpan.FromHours(1) }]));
        await ProduceAsync(partition, "five");
        var queue = await queues.DescribeAsync(partition, Name);
        Assert.Equal((4L, 1, 1L), (queue.Unsettled, queue.Held, queue.Deferred));
        Assert.Equal(TestBatches.FirstTimestamp, queue.OldestTimestamp);
        await queues.DetachAsync(partition, consumer);
        await UntilAsync(async () => (await queues.DescribeAsync(partition, Name)).Held == 0);
        await queues.PurgeAsync(partition, Name);
        queue = await queues.DescribeAsync(partition, Name);
        Assert.Equal((0L, 0L, null), (queue.Unsettled, queue.Deferred, queue.OldestTimestamp));
    }

    [SkippableFact]
    public async Task Topic_with_a_queue_ordered_by_key_keeps_its_partitions()
    {
        var (queues, partition) = await StartAsync();
        var broker = await BrokerAsync();
        Assert.Equal(3, (await broker.AddPartitionsAsync(partition.Topic, 3)).Partitions.Count);
        var last = partition with { Partition = 2 };
        await queues.CreateAsync(last, new NewQueue("ordered") { Options = new QueueOptions { IsOrderedByKey = true } });
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await broker.AddPartitionsAsync(partition.Topic, 4));
        Assert.Equal(ErrorCode.InvalidPartitions, refused.Code);
        Assert.Contains("'ordered'", refused.Message, StringComparison.Ordinal);
        await queues.DeleteAsync(last, "ordered");
        Assert.Equal(4, (await broker.AddPartitionsAsync(partition.Topic, 4)).Partitions.Count);
    }

    [SkippableFact]
    public async Task Altered_queue_delivers_by_its_new_options_and_those_fixed_at_creation_stay()
    {
        var (queues, partition) = await StartAsync("one");
        var options = new QueueOptions { MaxFailures = 1, RetryDelay = TimeSpan.FromSeconds(3), HasRecordTimes = true, MaxLength = 9,
            Overflow = QueueOverflow.RefusePublish };
        var altered = await queues.AlterAsync(partition, Name, options);
        Assert.Equal(options, altered.Options);
        Assert.Equal(options, (await queues.DescribeAsync(partition, Name)).Options);
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.AlterAsync(partition, Name,
            options with { IsOrderedByKey = true })));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.AlterAsync(partition, Name,
            options with { PriorityLevels = 3 })));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.AlterAsync(partition, Name, options with { MaxLength = -1 })));
        Assert.Equal(ErrorCode.GroupIdNotFound, await ErrorOf(() => queues.AlterAsync(partition, "none", options)));
        var consumer = await queues.AttachAsync(partition, Name, new QueueAttachOptions());
        var delivery = await ReceiveAsync(queues, partition, consumer, 1);
        Assert.Equal([ErrorCode.None], await SettleAsync(queues, partition, consumer, delivery, 0, QueueAction.Fail));
        Assert.Equal(1, (await queues.DescribeAsync(partition, Name)).Rejected);
    }

    [SkippableFact]
    public async Task Record_is_delivered_at_the_time_in_its_header_and_later_ones_before()
    {
        var (queues, partition) = await StartAsync();
        await queues.CreateAsync(partition, new NewQueue("timed") { Options = new QueueOptions { HasRecordTimes = true } });
        var now = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds();
        await ProduceAsync(partition, ("soon", QueueHeaders.DeliverAt, now + 1_000), ("late", QueueHeaders.DeliverAt, now + 3_600_000),
            ("over", QueueHeaders.ExpiresAt, now - 1), ("now", QueueHeaders.DeliverAt, now - 1));
        var consumer = await queues.AttachAsync(partition, "timed", new QueueAttachOptions { Prefetch = 10 });
        var values = new List<(string, int)>();
        while (values.Count < 2)
            values.AddRange((await ReceiveAsync(queues, partition, consumer, 10)).Records.Select(one => (Text(one), one.Deliveries)));
        // Both may be due when the consumer attaches, and then come by their offsets. The record of the next hour is passed in any case.
        Assert.Equal([("now", 1), ("soon", 1)], values.Order());
        Assert.True(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() >= now + 1_000 - 1, "The record came early.");
        var queue = await queues.DescribeAsync(partition, "timed");
        Assert.Equal((1L, 1L), (queue.Expired, queue.Deferred));
    }

    [SkippableFact]
    public async Task Record_expires_when_its_time_to_live_by_the_brokers_clock_is_over()
    {
        var (queues, partition) = await StartAsync();
        var options = new QueueOptions { TimeToLive = TimeSpan.FromMilliseconds(50) };
        Assert.Equal(ErrorCode.InvalidConfig, await ErrorOf(() => queues.CreateAsync(partition,
            new NewQueue("short") { Options = options })));
        Assert.Equal(ErrorCode.InvalidConfig, await ErrorOf(() => queues.AlterAsync(partition, Name, options)));
        (queues, partition) = await StartAsync(new Dictionary<string, string> { ["message.timestamp.type"] = "LogAppendTime" });
        await queues.CreateAsync(partition, new NewQueue("short") { Options = options });
        await ProduceAsync(partition, "one", "two");
        await UntilAsync(async () => (await queues.DescribeAsync(partition, "short")).Expired == 2);
        Assert.Equal(2, (await queues.DescribeAsync(partition, Name)).Unsettled);
    }

    [SkippableFact]
    public async Task Records_of_the_highest_priority_come_first()
    {
        var (queues, partition) = await StartAsync();
        var options = new QueueOptions { PriorityLevels = 5 };
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.CreateAsync(partition,
            new NewQueue("ranked") { Options = options with { IsOrderedByKey = true } })));
        await queues.CreateAsync(partition, new NewQueue("ranked") { Options = options });
        await ProduceAsync(partition, ("a", QueueHeaders.Priority, 0), ("b", QueueHeaders.Priority, 3), ("c", QueueHeaders.Priority, 3),
            ("d", QueueHeaders.Priority, 99));
        var consumer = await queues.AttachAsync(partition, "ranked", new QueueAttachOptions { Prefetch = 10 });
        var values = new List<string>();
        while (values.Count < 4)
            values.AddRange((await ReceiveAsync(queues, partition, consumer, 10)).Records.Select(Text));
        Assert.Equal(["d", "b", "c", "a"], values);
    }

    [SkippableFact]
    public async Task Queue_with_a_filter_delivers_the_records_whose_headers_meet_it()
    {
        var (queues, partition) = await StartAsync();
        var wrong = await Assert.ThrowsAsync<BrokerException>(() => queues.CreateAsync(partition,
            new NewQueue("some") { Options = new QueueOptions { Filter = "size >" } }).AsTask());
        Assert.Equal(ErrorCode.InvalidRequest, wrong.Code);
        Assert.Contains("Column 7", wrong.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.CreateAsync(partition,
            new NewQueue("some") { Options = new QueueOptions { Filter = "size > 1", MaxLength = 10 } })));
        var created = await queues.CreateAsync(partition, new NewQueue("some") { Options = new QueueOptions { Filter = "size > 10" } });
        Assert.Equal("size > 10", created.Options.Filter);
        await ProduceAsync(partition, ("a", "size", 1), ("b", "size", 11), ("c", "weight", 99), ("d", "size", 100), ("e", "size", 5));
        Assert.Equal(["b", "d"], (await queues.PeekAsync(partition, "some", 10)).Select(Text));
        var consumer = await queues.AttachAsync(partition, "some", new QueueAttachOptions());
        Assert.Equal("b", Text(Assert.Single((await ReceiveAsync(queues, partition, consumer, 1)).Records)));
        var next = await ReceiveAsync(queues, partition, consumer, 1);
        Assert.Equal("d", Text(Assert.Single(next.Records)));
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.AlterAsync(partition, "some", new QueueOptions())));
        Assert.Null(await queues.ReceiveAsync(partition, consumer, 1, TimeSpan.FromMilliseconds(100)));
        Assert.Equal((3L, 2L), await queues.DescribeAsync(partition, "some") is var all ? (all.Filtered, all.Unsettled) : default);
        Assert.Equal([ErrorCode.None], await SettleAsync(queues, partition, consumer, next, 0, QueueAction.Accept));
        Assert.Equal(5, (await queues.PeekAsync(partition, Name, 10)).Count);
    }

    [SkippableFact]
    public async Task Queue_at_its_length_drops_its_first_records_or_refuses_further_ones()
    {
        var (queues, partition) = await StartAsync();
        await queues.CreateAsync(partition, new NewQueue("short") { Options = new QueueOptions { MaxLength = 2 } });
        await ProduceAsync(partition, "one", "two", "three");
        await UntilAsync(async () => (await queues.DescribeAsync(partition, "short")).Dropped == 1);
        Assert.Equal(["two", "three"], (await queues.PeekAsync(partition, "short", 10)).Select(Text));
        await queues.CreateAsync(partition, new NewQueue("full")
        {
            Options = new QueueOptions { MaxLength = 3, Overflow = QueueOverflow.RefusePublish },
        });
        var broker = await BrokerAsync();
        await UntilAsync(async () => (await broker.ProduceAsync(partition, TestBatches.Of("more"), Acks.All)).Error
            == ErrorCode.PolicyViolation);
        await queues.PurgeAsync(partition, "full");
        await UntilAsync(async () => (await broker.ProduceAsync(partition, TestBatches.Of("again"), Acks.All)).Error == ErrorCode.None);
    }

    [SkippableFact]
    public async Task Queue_at_its_bytes_drops_its_first_records_or_refuses_further_ones()
    {
        var (queues, partition) = await StartAsync();
        var options = new QueueOptions { MaxBytes = 8 };
        Assert.Equal(options, (await queues.CreateAsync(partition, new NewQueue("small") { Options = options })).Options);
        await ProduceAsync(partition, "one", "two", "three");
        // A description counts first.
        var described = await queues.DescribeAsync(partition, "small");
        Assert.Equal((8, 2), (described.WaitingBytes, described.Unsettled - described.Held));
        await UntilAsync(async () => (await queues.DescribeAsync(partition, "small")).Dropped == 1);
        Assert.Equal(["two", "three"], (await queues.PeekAsync(partition, "small", 10)).Select(Text));
        Assert.Null((await queues.DescribeAsync(partition, Name)).WaitingBytes);
        var consumer = await queues.AttachAsync(partition, "small", new QueueAttachOptions());
        var delivery = await ReceiveAsync(queues, partition, consumer, 1);
        Assert.Equal(5, (await queues.DescribeAsync(partition, "small")).WaitingBytes);
        Assert.Equal([ErrorCode.None], await SettleAsync(queues, partition, consumer, delivery, 0, QueueAction.Release));
        Assert.Equal(8, (await queues.DescribeAsync(partition, "small")).WaitingBytes);
        var refusing = await queues.AlterAsync(partition, "small", options with { Overflow = QueueOverflow.RefusePublish });
        Assert.Equal(8, refusing.WaitingBytes);
        var broker = await BrokerAsync();
        await UntilAsync(async () => (await broker.ProduceAsync(partition, TestBatches.Of("more"), Acks.All)).Error
            == ErrorCode.PolicyViolation);
        await queues.PurgeAsync(partition, "small");
        await UntilAsync(async () => (await broker.ProduceAsync(partition, TestBatches.Of("again"), Acks.All)).Error == ErrorCode.None);
        Assert.Equal(5, (await queues.DescribeAsync(partition, "small")).WaitingBytes);
    }

    [SkippableFact]
    public async Task Queue_without_backlog_keeps_what_a_consumer_waits_for()
    {
        var (queues, partition) = await StartAsync();
        Assert.Equal(ErrorCode.InvalidRequest, await ErrorOf(() => queues.CreateAsync(partition,
            new NewQueue("direct") { Options = new QueueOptions { HasNoBacklog = true, MaxLength = 1 } })));
        var options = new QueueOptions { HasNoBacklog = true };
        Assert.Equal(options, (await queues.CreateAsync(partition, new NewQueue("direct") { Options = options })).Options);
        await ProduceAsync(partition, "one");
        await UntilAsync(async () => (await queues.DescribeAsync(partition, "direct")).Dropped == 1);
        var consumer = await queues.AttachAsync(partition, "direct", new QueueAttachOptions { Prefetch = 2 });
        await ProduceAsync(partition, "two", "three", "four");
        await UntilAsync(async () => (await queues.DescribeAsync(partition, "direct")) is { Dropped: 2, Held: 2 });
        Assert.Equal(["two", "three"], (await ReceiveAsync(queues, partition, consumer, 2)).Records.Select(Text));
    }

    private static async Task<List<(byte[]? Key, byte[]? Value, List<(string Name, string Value)> Headers)>> ReadAsync(IBroker broker,
        TopicPartition partition, int count)
    {
        var read = new List<(byte[]?, byte[]?, List<(string, string)>)>();
        using var patience = new CancellationTokenSource(Deadline);
        for (var next = 0L; read.Count < count;)
        {
            using var fetched = await broker.FetchAsync(new FetchRequest(partition, next) { MaxWait = TimeSpan.FromSeconds(1) },
                patience.Token);
            using var reader = new RecordReader(fetched.Error == ErrorCode.None ? fetched.Records : default, CompressionCodecs.Empty);
            while (reader.MoveNext())
            {
                var record = reader.Current;
                next = record.Offset + 1;
                read.Add((record.Key?.ToArray(), record.Value?.ToArray(), [.. record.ReadHeaders().Select(header =>
                    (Encoding.UTF8.GetString(header.Key.Span), Encoding.UTF8.GetString(header.Value!.Value.Span)))]));
            }
        }
        return read;
    }

    private Task<(IQueues Queues, TopicPartition Partition)> StartAsync(params string[] values) => StartAsync(null, values);

    private async Task<(IQueues Queues, TopicPartition Partition)> StartAsync(IReadOnlyDictionary<string, string>? config,
        params string[] values)
    {
        var broker = await BrokerAsync();
        var partition = new TopicPartition($"queue-{Guid.NewGuid():N}", 0);
        await broker.CreateTopicAsync(new NewTopic(partition.Topic, 1, Configs: config));
        if (values.Length > 0)
            await ProduceAsync(partition, values);
        await broker.Queues.CreateAsync(partition, new NewQueue(Name));
        return (broker.Queues, partition);
    }

    private Task ProduceAsync(TopicPartition partition, params string[] values) => ProduceAsync(partition, TestBatches.Of(values));

    private Task ProduceAsync(TopicPartition partition, params (string Value, string Header, long Number)[] records)
    {
        using var builder = new RecordBatchBuilder();
        foreach (var (value, header, number) in records)
            builder.Add(TestBatches.FirstTimestamp, default, false, Encoding.UTF8.GetBytes(value), true,
                [new RecordHeader(Encoding.UTF8.GetBytes(header), Encoding.UTF8.GetBytes(number.ToString(CultureInfo.InvariantCulture)))]);
        return ProduceAsync(partition, builder.Build().ToArray());
    }

    private async Task ProduceAsync(TopicPartition partition, byte[] batch)
    {
        var broker = await BrokerAsync();
        using var patience = new CancellationTokenSource(Deadline);
        ErrorCode error;
        // The replicas of a new topic may not be in sync yet: then nothing is appended.
        while ((error = (await broker.ProduceAsync(partition, batch, Acks.All)).Error) == ErrorCode.NotEnoughReplicas)
            await Task.Delay(20, patience.Token);
        Assert.Equal(ErrorCode.None, error);
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using var patience = new CancellationTokenSource(Deadline);
        while (!await condition())
            await Task.Delay(20, patience.Token);
    }

    private static async Task<QueueDelivery> ReceiveAsync(IQueues queues, TopicPartition partition, Guid consumer, int records) =>
        (await queues.ReceiveAsync(partition, consumer, records, LongPoll).AsTask().WaitAsync(Deadline))!;

    private static async Task<IReadOnlyList<ErrorCode>> SettleAsync(IQueues queues, TopicPartition partition, Guid consumer,
        QueueDelivery delivery, int record, QueueAction action) => await queues.SettleAsync(partition, consumer,
            [new QueueSettlement(delivery.Lock, delivery.Records[record].Offset, delivery.Records[record].Offset, action)]);

    private static async Task<ErrorCode> ErrorOf<T>(Func<ValueTask<T>> call) =>
        (await Assert.ThrowsAsync<BrokerException>(() => call().AsTask())).Code;

    private static string Text(QueueRecord record) => Encoding.UTF8.GetString(record.Value!.Value.Span);
}
