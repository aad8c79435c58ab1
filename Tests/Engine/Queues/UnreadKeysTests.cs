using OrleansMq.Queues;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Order by key beside batches with keys that the leader cannot read: any of their records may have the key of a later
/// one.</summary>
public sealed class UnreadKeysTests
{
    private const long RetryMs = 10_000;
    private static readonly CursorConfiguration Ordered = new() { Name = "c", IsOrderedByKey = true, LookAhead = 100 };

    // Records 1 to 6, odd and even ones of one key each; 3 and 4 are in a batch that cannot be read.
    private static CursorRig NewRig(CursorConfiguration? configuration = null)
    {
        var rig = new CursorRig(configuration ?? Ordered) { KeyOf = static offset => offset % 2 };
        rig.Unread.Add(new OffsetRange(3, 4));
        rig.Produce(6);
        rig.Attach(1, credit: 10);
        return rig;
    }

    private static IEnumerable<long> Offsets(CursorRig rig) => rig.Delivered().Select(static one => one.Offset);

    private static LockToken LockOf(CursorRig rig, long offset) =>
        rig.Deliveries.Last(delivery => delivery.Records.Exists(record => record.Offset == offset)).Lock;

    private static void Settle(CursorRig rig, params long[] offsets)
    {
        foreach (var (token, offset) in offsets.Select(offset => (LockOf(rig, offset), offset)).ToList())
            Assert.Equal(CursorOutcome.Done, rig.Request(new Settle(rig.NextId, token, OffsetRange.Of(offset))));
    }

    [Fact]
    public void Record_whose_key_cannot_be_read_goes_out_alone_after_those_before_it_and_before_those_after_it()
    {
        var rig = NewRig();
        var first = LockOf(rig, 1);
        Assert.Equal([1L, 2L], Offsets(rig));
        rig.Request(new Settle(rig.NextId, first, OffsetRange.Of(1)));
        Assert.Empty(Offsets(rig));
        rig.Request(new Settle(rig.NextId, first, OffsetRange.Of(2)));
        for (var i = 0; i < 3; i++)
        {
            var alone = LockOf(rig, 3);
            Assert.Equal([3L], Offsets(rig));
            rig.Request(new Release(rig.NextId, alone, OffsetRange.Of(3), IsFailure: false, DelayMs: RetryMs));
            rig.PassTime(RetryMs - 1);
            Assert.Empty(Offsets(rig));
            rig.PassTime(1);
        }
        rig.Unread.Clear();
        Settle(rig, 3);
        Assert.Equal([3L, 4L, 5L], Offsets(rig));
    }

    [Fact]
    public void Key_that_cannot_be_read_behind_a_delayed_record_is_tried_again_after_a_while()
    {
        var rig = NewRig();
        rig.Request(new Release(rig.NextId, LockOf(rig, 1), OffsetRange.Of(1), IsFailure: true, DelayMs: 6 * RetryMs));
        Settle(rig, 2);
        Assert.Equal([1L, 2L], Offsets(rig));
        Assert.Equal(rig.Now + RetryMs, rig.WakeAt);
        var reads = rig.KeyReads.Count;
        rig.PassTime(RetryMs - 1);
        Assert.Equal(reads, rig.KeyReads.Count);
        rig.PassTime(1);
        Assert.Equal(reads + 1, rig.KeyReads.Count);
        Assert.Empty(Offsets(rig));
        rig.Unread.Clear();
        rig.PassTime(RetryMs);
        Assert.Equal([4L], Offsets(rig));
        rig.PassTime(4 * RetryMs);
        Settle(rig, 1);
        Assert.Equal([1L, 3L], Offsets(rig));
    }

    [Fact]
    public void Records_that_are_settled_hold_none_back_where_they_cannot_be_read()
    {
        var rig = NewRig();
        rig.Unread.Clear();
        rig.FailOver();
        rig.Commit();
        rig.Deliveries.Clear();
        rig.Attach(2, credit: 10);
        Settle(rig, 1, 2);
        Settle(rig, 4);
        Assert.Equal([1L, 2L, 3L, 4L, 6L], Offsets(rig));
        rig.Unread.Add(new OffsetRange(3, 4));
        rig.FailOver();
        rig.Commit();
        rig.Attach(3, credit: 10);
        Settle(rig, 3);
        Assert.Equal([3L, 5L, 6L], Offsets(rig));
        rig.FailOver();
        rig.Commit();
        rig.Attach(4, credit: 10);
        Assert.Equal([5L, 6L], Offsets(rig));
    }

    [Fact]
    public void Record_that_came_back_later_than_one_whose_key_cannot_be_read_waits_for_it()
    {
        var rig = new CursorRig(Ordered) { KeyOf = static offset => offset };
        rig.Produce(6);
        rig.Attach(1, credit: 10);
        foreach (var offset in new[] { 1L, 3L, 5L })
            rig.Request(new Release(rig.NextId, LockOf(rig, offset), OffsetRange.Of(offset), IsFailure: false, DelayMs: offset * RetryMs));
        Settle(rig, 2, 4, 6);
        rig.Delivered();
        rig.Unread.Add(new OffsetRange(3, 4));
        rig.FailOver();
        rig.Commit();
        rig.Attach(2, credit: 10);
        rig.PassTime(6 * RetryMs);
        Settle(rig, 1);
        Assert.Equal([1L, 3L], Offsets(rig));
        // The session that held it ends, and another leader can read it.
        rig.Handle(new Detach(2, IsFailure: false));
        rig.Unread.Clear();
        rig.FailOver();
        rig.Commit();
        rig.Attach(3, credit: 10);
        Assert.Equal([3L, 5L], Offsets(rig));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Purge_and_reset_give_up_records_whose_keys_cannot_be_read(bool isPurge)
    {
        var rig = NewRig();
        Settle(rig, 2);
        rig.Delivered();
        if (isPurge)
        {
            // What is held is not purged.
            Assert.Equal(CursorOutcome.Done, rig.Request(new Purge(rig.NextId, 5)));
            Assert.Equal([6L], Offsets(rig));
            return;
        }
        var state = rig.Log.Cursors[0];
        Assert.Equal(CursorOutcome.Done, rig.Request(new Begin(rig.NextId, Guid.NewGuid(), null, 5, state.Incarnation)));
        Assert.Equal([5L, 6L], Offsets(rig));
    }

    [Fact]
    public void Record_that_is_dropped_since_its_queue_is_too_long_holds_none_back()
    {
        var rig = NewRig(Ordered with { MaxLength = 2 });
        Assert.Equal([5L, 6L], Offsets(rig));
    }

    [Fact]
    public void Record_that_is_scheduled_holds_none_of_its_key_back_once_it_can_be_read()
    {
        var rig = new CursorRig(Ordered with { HasSchedules = true }) { KeyOf = static _ => 7 };
        rig.Unread.Add(OffsetRange.Of(1));
        rig.HeadOf = offset =>
        {
            rig.Unread.Clear();
            return new RecordHead(offset, DeliverAt: offset == 1 ? 50_000 : 0);
        };
        rig.Produce(3);
        rig.Attach(1, credit: 10);
        Settle(rig, 2);
        Assert.Equal([2L, 3L], Offsets(rig));
        rig.PassTime(60_000);
        Assert.Empty(Offsets(rig));
        rig.Handle(new Detach(1, IsFailure: false));
        rig.Attach(2, credit: 10);
        Assert.Equal([1L], Offsets(rig));
    }

    [Fact]
    public void Records_of_a_key_are_delivered_in_order_whatever_batches_cannot_be_read_for_a_while()
    {
        for (var seed = 0; seed < 60; seed++)
            Run(seed);
    }

    private static void Run(int seed)
    {
        const int records = 150;
        var random = new Random(seed);
        var keys = random.Next(1, 6);
        var rig = new CursorRig(Ordered with { LookAhead = random.Next(1, 12) })
        {
            KeyOf = offset => offset * 2_654_435_761 % 7 == 0 ? null : offset * 2_654_435_761 % 11 % keys,
        };
        var (run, credit) = (random.Next(1, 5), random.Next(1, 12));
        var (held, settled) = (new List<(LockToken Lock, long Offset)>(), new HashSet<long>());
        rig.Produce(records);
        Attach();
        for (var step = 0; settled.Count < records; step++)
        {
            Assert.True(step < 20_000, $"seed {seed}: {settled.Count} of {records} records are settled, and {held.Count} are held.");
            foreach (var delivery in rig.Deliveries)
                Take(delivery);
            rig.Deliveries.Clear();
            if (step > 5_000)
                rig.Unread.Clear();
            else if (random.Next(30) == 0 && random.Next(1, records) is var first && !rig.Unread.Exists(batch => batch.First <= first + 9
                && batch.Last >= first))
                rig.Unread.Add(new OffsetRange(first, first + random.Next(10)));
            if (rig.Unread.Count > 0 && random.Next(20) == 0)
                rig.Unread.RemoveAt(random.Next(rig.Unread.Count));
            if (random.Next(150) == 0)
            {
                held.Clear();
                rig.FailOver();
                rig.Commit();
                Attach();
            }
            else if (held.Count == 0 || random.Next(10) == 0)
                rig.PassTime(random.Next(3_000));
            else
                End(random.Next(held.Count));
        }

        void Take(Deliver delivery)
        {
            foreach (var record in delivery.Records)
            {
                if (rig.KeyOf!(record.Offset) is { } key)
                {
                    Assert.DoesNotContain(Enumerable.Range(1, (int)record.Offset - 1), earlier => rig.KeyOf(earlier) == key
                        && !settled.Contains(earlier) && !delivery.Records.Exists(other => other.Offset == earlier));
                }
                held.Add((delivery.Lock, record.Offset));
            }
        }

        void End(int index)
        {
            var (token, offset) = held[index];
            held.RemoveAt(index);
            var isUnread = rig.Unread.Exists(batch => batch.First <= offset && offset <= batch.Last);
            if (isUnread || random.Next(4) == 0)
                rig.Request(new Release(rig.NextId, token, OffsetRange.Of(offset), IsFailure: false, DelayMs: isUnread ? RetryMs : 500));
            else if (rig.Request(new Settle(rig.NextId, token, OffsetRange.Of(offset))) == CursorOutcome.Done)
                settled.Add(offset);
        }

        void Attach()
        {
            rig.Handle(new Attach(1, 0, IsWindow: true, LockDurationMs: 0) { KeyRun = run, KeyRunReserve = 0 });
            rig.Handle(new GrantCredit(1, credit));
        }
    }
}
