using OrleansMq.Client.PostgreSql;
using OrleansMq.Partitioning;

namespace OrleansMq.Tests.PostgreSql.Outbox;

/// <summary>Single decisions of a relay.</summary>
public sealed class OutboxRelayCoreTests
{
    private const long Producer = 7;

    private static OutboxRelayCore Core(int rows, string topic = "orders", int limit = 100, int partitions = 1)
    {
        var core = new OutboxRelayCore("outbox", Producer, 0, limit, limit);
        core.Mark(rows, 10);
        core.See(10);
        core.Route(topic, partitions);
        return core;
    }

    private static OutboxBatch Bind(OutboxRelayCore core, Func<long, bool>? exists = null) =>
        Assert.Single(core.Bind(core.Take(), exists ?? (static _ => true)).Sends);

    private static void Read(OutboxRelayCore core, int rows, string topic = "orders")
    {
        var read = core.NextRead()!;
        core.Add(read, [.. Enumerable.Range(1, rows).Select(id => new OutboxRow(id, topic, null, null, 10))
            .Where(row => row.Id > read.Above).Take(read.Limit)]);
    }

    [Fact]
    public void Messages_are_read_when_the_transactions_before_the_mark_have_ended()
    {
        var core = new OutboxRelayCore("outbox", Producer, 0);
        core.Mark(5, 10);
        core.See(9);
        Assert.Null(core.NextRead());
        core.See(10);
        Assert.Equal(5, core.NextRead()!.UpTo);
    }

    [Fact]
    public void Refused_batch_is_sent_one_by_one_under_the_next_epoch()
    {
        var core = Core(3);
        Read(core, 3);
        var batch = Bind(core);
        Assert.Equal(OutboxVerdict.Split, core.Answer(batch, ErrorCode.MessageTooLarge, "large"));
        var first = Bind(core);
        Assert.Equal((1, 0, 1), (first.Epoch, first.Sequence, first.Ids.Count));
        Assert.Equal(OutboxVerdict.Delivered, core.Answer(first, ErrorCode.None, null));
        var second = Bind(core);
        Assert.Equal((1, 1, 1), (second.Epoch, second.Sequence, second.Ids.Count));
        Assert.Equal(OutboxVerdict.Refused, core.Answer(second, ErrorCode.MessageTooLarge, "large"));
        Assert.Equal([new OutboxRefusal(2, "MessageTooLarge: large")], core.TakeAnswers().Refused);
        var third = Bind(core);
        Assert.Equal((2, 0), (third.Epoch, third.Sequence));
    }

    [Theory]
    [InlineData(ErrorCode.OutOfOrderSequenceNumber)]
    [InlineData(ErrorCode.InvalidProducerEpoch)]
    [InlineData(ErrorCode.UnknownProducerId)]
    public void Batch_whose_producer_the_broker_does_not_know_as_it_was_is_sent_under_another_epoch(ErrorCode error)
    {
        var core = Core(3);
        Read(core, 3);
        Assert.Equal(OutboxVerdict.Renewed, core.Answer(Bind(core), error, null));
        var again = Bind(core);
        Assert.Equal((Producer, 1, 0, 3), (again.ProducerId, again.Epoch, again.Sequence, again.Ids.Count));
    }

    [Fact]
    public void Recovered_batch_is_sent_as_it_is_stored_and_is_not_read_again()
    {
        var core = Core(3);
        var stored = new OutboxBatch(new TopicPartition("orders", 0), 3, 2, 17, [1, 2]);
        core.Recover([stored]);
        Read(core, 3);
        Assert.Equal(stored, Bind(core));
        core.Answer(stored, ErrorCode.DuplicateSequenceNumber, null);
        var next = Bind(core);
        Assert.Equal((Producer, 0, 0), (next.ProducerId, next.Epoch, next.Sequence));
        Assert.Equal([3], next.Ids);
    }

    [Fact]
    public void Batch_with_discarded_messages_is_another_batch()
    {
        var core = Core(3);
        Read(core, 3);
        var batch = Bind(core);
        core.Answer(batch, ErrorCode.UnknownTopicOrPartition, null);
        core.Resume(batch);
        var binding = core.Bind(core.Take(), static id => id != 2);
        Assert.Empty(binding.Sends);
        Assert.Equal([batch.Target], binding.Removes);
        var next = Bind(core);
        Assert.Equal((1, 0), (next.Epoch, next.Sequence));
        Assert.Equal([1, 3], next.Ids);
    }

    [Fact]
    public void Topic_that_takes_nothing_does_not_hold_up_others()
    {
        var core = Core(30, limit: 10);
        var read = core.NextRead()!;
        core.Add(read, [.. Enumerable.Range(1, 10).Select(static id => new OutboxRow(id, "lost", null, null, 10))]);
        read = core.NextRead()!;
        core.Add(read, [.. Enumerable.Range(11, 10).Select(static id => new OutboxRow(id, "lost", null, null, 10))]);
        read = core.NextRead()!;
        core.Add(read, [.. Enumerable.Range(21, 10).Select(static id => new OutboxRow(id, "orders", null, null, 10))]);
        Assert.Equal(Enumerable.Range(21, 10).Select(static id => (long)id), Bind(core).Ids);
        Assert.Equal(20, core.Count);

        // It is found later, and what was left is read: past the lane while that is full, and again when it has room.
        core.Route("lost", 1);
        List<OutboxRead> reads = [];
        TurnReads(core, Lost, reads);
        core.Answer(Bind(core), ErrorCode.None, null);
        TurnReads(core, Lost, reads);
        Assert.Equal([new OutboxRead("lost", 10, 30, 5), new OutboxRead("lost", 15, 30, 5), new OutboxRead("lost", 10, 20, 10, 0)], reads);
        Assert.Equal(Enumerable.Range(11, 10).Select(static id => (long)id), Bind(core).Ids);

        static IEnumerable<OutboxRow> Lost() => Enumerable.Range(1, 20).Select(static id => new OutboxRow(id, "lost", null, null, 10));
    }

    [Theory]
    [InlineData(2, null)]
    [InlineData(2, 7)]
    public void Partition_that_takes_nothing_does_not_hold_up_others_of_its_topic(int partitions, int? away)
    {
        const int Rows = 1_000;
        var core = Core(Rows, limit: 10, partitions: partitions);
        // Of each five messages four are of the partition that is away, and one is of another.
        var keys = KeysOf(partitions);
        var table = Enumerable.Range(1, Rows).ToDictionary(static id => (long)id, id => id % 5 == 0
            ? new OutboxRow(id, "orders", null, keys[1], 10) : new OutboxRow(id, "orders", away, keys[0], 10));
        var (delivered, read, most) = (new List<long>(), 0, 0);
        for (var turn = 0; turn < Rows && delivered.Count < Rows / 5; turn++)
            (read, most) = (read + Turn(core, table, send => send.Target.Partition == 1, delivered), Math.Max(most, core.Count));
        Assert.Equal(Enumerable.Range(1, Rows / 5).Select(static number => 5L * number), delivered);
        Assert.InRange(most, 1, 20);
        Assert.InRange(read, Rows, 3 * Rows);

        // It is back: the others have gone, and its own come in their order.
        delivered.Clear();
        for (var turn = 0; turn < Rows && table.Count > 0; turn++)
            read += Turn(core, table, static _ => true, delivered);
        Assert.Equal(Enumerable.Range(1, Rows).Where(static id => id % 5 != 0).Select(static id => (long)id), delivered);
        Assert.InRange(read, Rows, 4 * Rows);
    }

    [Fact]
    public void Messages_that_were_left_are_sent_once_where_their_topic_gets_more_partitions()
    {
        const int Rows = 400;
        var core = Core(Rows, limit: 10, partitions: 2);
        var table = Enumerable.Range(1, Rows).ToDictionary(static id => (long)id,
            static id => new OutboxRow(id, "orders", null, BitConverter.GetBytes(id), 10));
        var delivered = new List<long>();
        for (var turn = 0; turn < 60; turn++)
            Turn(core, table, static send => send.Target.Partition == 1, delivered);
        core.Route("orders", 5);
        for (var turn = 0; turn < Rows && core.HasWork; turn++)
            Turn(core, table, static _ => true, delivered);
        Assert.Empty(table);
        Assert.Equal(Enumerable.Range(1, Rows).Select(static id => (long)id), delivered.Order());
        Assert.Equal(0, core.Count);
        Assert.Empty(core.Topics());
    }

    [Fact]
    public void Batch_of_a_partition_that_its_topic_has_no_more_is_bound_anew_but_for_messages_that_name_it()
    {
        var keys = KeysOf(3);
        OutboxRow[] rows = [new(1, "orders", null, keys[2], 10), new(2, "orders", 2, null, 10), new(3, "orders", null, keys[2], 10),
            new(4, "orders", null, keys[0], 10)];
        var table = rows.ToDictionary(static row => row.Id);
        var core = Core(4, partitions: 3);
        core.Recover([new OutboxBatch(new TopicPartition("orders", 2), 3, 2, 17, [1, 2])]);
        var delivered = new List<long>();
        Turn(core, table, static send => send.Target.Partition == 0, delivered);
        Assert.Equal([4], delivered);
        // The broker may be behind: what it answers to the batch is asked for, too.
        Assert.False(core.HasLost("orders", 3));
        Assert.True(core.HasLost("orders", 1));
        Assert.Equal([new TopicPartition("orders", 2)], core.Rebind("orders", 1));
        Assert.False(core.HasLost("orders", 1));
        for (var turn = 0; turn < 5; turn++)
            Turn(core, table, static send => send.Target.Partition == 0, delivered);
        Assert.Equal([4, 1, 3], delivered);
        Assert.Equal([2], table.Keys);
        Assert.False(core.HasLost("orders", 1));
        Assert.Empty(core.Rebind("orders", 1));
    }

    // For each partition a key of it.
    private static byte[][] KeysOf(int partitions) => [.. Enumerable.Range(0, partitions).Select(partition => Enumerable.Range(0, 100)
        .Select(static number => new[] { (byte)number }).First(key => Murmur2Partitioner.ForKey(key, partitions) == partition))];

    private static int TurnReads(OutboxRelayCore core, Func<IEnumerable<OutboxRow>> rows, List<OutboxRead>? reads = null)
    {
        var count = 0;
        foreach (var read in core.TopicReads())
        {
            OutboxRow[] found = [.. rows().Where(row => row.Topic == read.Topic && row.Id > read.Above && row.Id <= read.UpTo)
                .Take(read.Limit)];
            reads?.Add(read);
            count += found.Length;
            core.Add(read, found);
        }
        return count;
    }

    // A transaction, and the answers to what it sends. Returns how many messages it has read.
    private static int Turn(OutboxRelayCore core, Dictionary<long, OutboxRow> table, Func<OutboxBatch, bool> accepts, List<long> delivered)
    {
        foreach (var id in core.TakeAnswers().Done)
            table.Remove(id);
        var count = 0;
        if (core.NextRead() is { } all)
        {
            OutboxRow[] found = [.. table.Values.OrderBy(static row => row.Id).Where(row => row.Id > all.Above && row.Id <= all.UpTo)
                .Take(all.Limit)];
            count += found.Length;
            core.Add(all, found);
        }
        count += TurnReads(core, () => table.Values.OrderBy(static row => row.Id));
        foreach (var send in core.Bind(core.Take(), table.ContainsKey).Sends)
        {
            if (accepts(send))
                delivered.AddRange(send.Ids);
            if (core.Answer(send, accepts(send) ? ErrorCode.None : ErrorCode.UnknownTopicOrPartition, null) == OutboxVerdict.Retry)
                core.Resume(send);
        }
        return count;
    }

    [Fact]
    public void Discarded_messages_of_a_topic_that_was_never_there_are_forgotten()
    {
        var core = Core(5);
        Read(core, 5, "lost");
        Assert.Equal((5, 5), (core.Count, core.Undecided("lost").Count));
        core.Drop("lost", new HashSet<long> { 2, 4 });
        Assert.Equal([2, 4], core.Undecided("lost"));
        Assert.Equal(2, core.Count);
        core.Route("lost", 1);
        Assert.Equal([2, 4], Bind(core).Ids);

        Read(core = Core(5), 5, "lost");
        core.Drop("lost", new HashSet<long>());
        Assert.Empty(core.Topics());
        Assert.Empty(core.Undecided("unknown"));
    }
}
