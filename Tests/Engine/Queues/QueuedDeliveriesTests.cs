using OrleansMq.Partitions.Cursors;
using OrleansMq.Queues;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Deliveries that wait in an attachment for its next receive.</summary>
public sealed class QueuedDeliveriesTests
{
    private static readonly AttachOptions Prefetching = new() { Prefetch = 10, LockDuration = TimeSpan.FromSeconds(30) };

    [Fact]
    public async Task Records_that_came_one_after_the_other_are_received_together()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        var slow = await rig.AttachAsync(Prefetching);
        for (var count = 1; count <= 3; count++)
        {
            await rig.AppendAsync($"{count}");
            await rig.WaitUntilAsync(async () => await rig.HeldAsync() == count);
        }
        using var received = await slow.ReceiveSomeAsync(0);
        Assert.Equal(["1", "2", "3"], received.Records.Select(one => one.Text()));
        Assert.Equal(CursorOutcome.Done, await slow.SettleAllAsync(received));
    }

    [Fact]
    public async Task Records_that_are_received_together_have_a_higher_lock_than_what_another_received_meanwhile()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        var slow = await rig.AttachAsync(Prefetching);
        await rig.AppendAsync("1");
        await rig.WaitUntilAsync(async () => await rig.HeldAsync() == 1);
        var other = await rig.AttachAsync(Prefetching with { Priority = 1 });
        await rig.AppendAsync("2");
        using var first = await other.ReceiveSomeAsync(0);
        Assert.Equal("2", Assert.Single(first.Records).Text());
        // It comes to the slow one, whose first delivery is older than that of the other.
        Assert.Equal(CursorOutcome.Done, (await other.ReleaseAsync(first.Lock, OffsetRange.Of(first.Records[0].Record.Offset),
            isFailure: false, TimeSpan.FromSeconds(1))).Outcome);
        other.Detach(isFailure: false);
        await rig.WaitUntilAsync(async () =>
        {
            rig.Clock.Advance(TimeSpan.FromMilliseconds(250));
            return await rig.HeldAsync() == 2;
        });
        using var together = await slow.ReceiveSomeAsync(0);
        Assert.Equal(["1", "2"], together.Records.Select(one => one.Text()));
        Assert.True(together.Lock.Number > first.Lock.Number, $"{together.Lock} is older than {first.Lock}.");
    }

    [Fact]
    public async Task Record_that_came_to_a_cancelled_receive_is_in_its_place_when_that_ends()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        await rig.AppendAsync("1", "2");
        var (consumer, other) = (await rig.AttachAsync(new AttachOptions()), await rig.AttachAsync(new AttachOptions()));
        using (var reserved = await consumer.ReceiveSomeAsync(1))
            Assert.Equal(CursorOutcome.Done, (await consumer.ReleaseAsync(reserved.Lock,
                OffsetRange.Of(reserved.Records[0].Record.Offset), isFailure: false)).Outcome);
        for (var turn = 0; turn < 20; turn++)
        {
            // The turn that gives it the record is the one in which it ends.
            using var gate = new ManualResetEventSlim();
            rig.Partition.Cursors.Post(() => gate.Wait(PartitionCursorsActions.Patience));
            var cancelled = consumer.ReceiveAsync(1, TimeSpan.FromHours(1), new CancellationToken(canceled: true));
            gate.Set();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
            using var received = await other.ReceiveSomeAsync(1);
            Assert.Equal("1", Assert.Single(received.Records).Text());
            Assert.Equal(CursorOutcome.Done, (await other.ReleaseAsync(received.Lock,
                OffsetRange.Of(received.Records[0].Record.Offset), isFailure: false)).Outcome);
        }
    }

    [Fact]
    public async Task Record_whose_lock_ended_in_the_queue_and_that_another_settled_is_not_received()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        await rig.AppendAsync("one");
        var slow = await rig.AttachAsync(Prefetching);
        await rig.WaitUntilAsync(async () => await rig.HeldAsync() == 1);
        var other = await rig.AttachAsync(new AttachOptions { Priority = 1 });
        var receiving = other.ReceiveAsync(1, TimeSpan.FromHours(1));
        await rig.PassUntilAsync(() => receiving.IsCompleted);
        using (var received = await receiving)
            Assert.Equal(CursorOutcome.Done, await other.SettleAllAsync(received!));
        using var again = await slow.ReceiveAsync(0, TimeSpan.Zero);
        Assert.Null(again);
        await rig.AppendAsync("two");
        using var next = await slow.ReceiveSomeAsync(0);
        Assert.Equal("two", Assert.Single(next.Records).Text());
    }

    [Fact]
    public async Task Records_whose_locks_ended_in_the_queue_are_received_once_with_their_new_lock()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        await rig.AppendManyAsync(5);
        var slow = await rig.AttachAsync(Prefetching);
        await rig.WaitUntilAsync(async () => await rig.HeldAsync() == 5);
        await rig.PassUntilAsync(() => rig.StateOf().Returns.Count == 5);
        await rig.WaitUntilIdleAsync();
        var offsets = new List<long>();
        while (offsets.Count < 5)
        {
            using var received = await slow.ReceiveSomeAsync(0);
            // They waited in vain, which is no delivery.
            Assert.All(received.Records, one => Assert.Equal(new DeliveryCounts(1, 0), one.Counts));
            Assert.Equal(CursorOutcome.Done, await slow.SettleAllAsync(received));
            offsets.AddRange(received.Records.Select(one => one.Record.Offset));
        }
        Assert.Equal(offsets.Order().Distinct(), offsets);
    }

    [Fact]
    public async Task Record_that_was_received_counts_when_its_lock_ends_and_those_behind_it_do_not()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync(PartitionCursorsActions.Configuration with { MaxDeliveries = 2, LimitedCount = LimitedCount.Failures });
        var slow = await rig.AttachAsync(Prefetching);
        await rig.AppendAsync("one");
        using var first = await slow.ReceiveSomeAsync(0);
        await rig.AppendAsync("two", "three");
        await rig.WaitUntilAsync(async () => await rig.HeldAsync() == 3);
        // Again and again, more often than the limit allows failures.
        for (var returns = 0; returns < 5; returns++)
        {
            var end = rig.Partition.LogEndOffset;
            await rig.PassUntilAsync(() => rig.Partition.LogEndOffset > end);
            await rig.WaitUntilIdleAsync();
        }
        Assert.Equal(0, rig.StateOf().Total(SettlementCause.DeliveryLimit));
        var counts = rig.StateOf().Returns.Values.OrderBy(one => one.Offset).Select(one => one.Counts).ToList();
        Assert.Equal([new DeliveryCounts(1, 1), new DeliveryCounts(0, 0), new DeliveryCounts(0, 0)], counts);
    }

    [Fact]
    public async Task Cancelled_receive_gives_its_records_back_at_once_and_together()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        await rig.AppendManyAsync(10);
        var consumer = await rig.AttachAsync(Prefetching);
        await rig.WaitUntilAsync(async () => await rig.HeldAsync() == 10);
        await rig.WaitUntilIdleAsync();
        var end = rig.Partition.LogEndOffset;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            consumer.ReceiveAsync(0, PartitionCursorsActions.Patience, new CancellationToken(canceled: true)));
        await rig.WaitUntilIdleAsync();
        Assert.InRange(rig.Partition.LogEndOffset, end + 1, end + 2);
        using var received = await consumer.ReceiveSomeAsync(0);
        Assert.Equal(10, received.Records.Count);
        Assert.All(received.Records, one => Assert.Equal(new DeliveryCounts(1, 0), one.Counts));
    }

    [Fact]
    public async Task Consumer_without_prefetch_holds_only_what_it_asked_for()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        await rig.AppendAsync("one", "two");
        var former = await rig.AttachAsync();
        using (await former.ReceiveSomeAsync(1))
            await rig.AppendAsync("three", "four");
        // The next process does not know where the control batch between them is.
        await rig.KillAsync();
        var consumer = await rig.AttachAsync();
        var received = 0;
        while (received < 2)
        {
            using var some = await consumer.ReceiveSomeAsync(3 - received);
            received += some.Records.Count;
            Assert.Equal(received, await rig.HeldAsync());
        }
    }

    [Fact]
    public async Task Receive_takes_the_memory_of_some_batches_and_leaves_the_others_to_the_next()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync();
        var large = new string('x', 400_000);
        for (var i = 0; i < 40; i++)
            Assert.Equal(ErrorCode.None, (await rig.AppendAsync(large)).Error);
        var consumer = await rig.AttachAsync(Prefetching with { Prefetch = 100 });
        await rig.WaitUntilAsync(async () => await rig.HeldAsync() >= 40);
        await rig.WaitUntilIdleAsync();
        var offsets = new List<long>();
        while (offsets.Count < 40)
        {
            using var received = await consumer.ReceiveSomeAsync(0);
            Assert.InRange(received.Records.Count, 1, 30);
            // All were acquired at once, and none was given back.
            Assert.All(received.Records, one => Assert.Equal(1, one.Counts.Deliveries));
            offsets.AddRange(received.Records.Select(one => one.Record.Offset));
            Assert.Equal(CursorOutcome.Done, await consumer.SettleAllAsync(received));
        }
        Assert.Equal(offsets.Order().Distinct(), offsets);
    }
}
