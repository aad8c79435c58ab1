using OrleansMq.Client.PostgreSql;

namespace OrleansMq.Tests.PostgreSql.Outbox;

/// <summary>Single decisions of a relay.</summary>
public sealed class OutboxRelayCoreTests
{
    private const long Producer = 7;

    private static OutboxRelayCore Core(int rows, string topic = "orders", int topicLimit = 100)
    {
        var core = new OutboxRelayCore("outbox", Producer, 0, topicLimit);
        core.Mark(rows, 10);
        core.See(10);
        core.Route(topic, 1);
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
        var core = Core(30, topicLimit: 10);
        var read = core.NextRead()!;
        core.Add(read, [.. Enumerable.Range(1, 10).Select(static id => new OutboxRow(id, "lost", null, null, 10))]);
        read = core.NextRead()!;
        core.Add(read, [.. Enumerable.Range(11, 10).Select(static id => new OutboxRow(id, "lost", null, null, 10))]);
        read = core.NextRead()!;
        core.Add(read, [.. Enumerable.Range(21, 10).Select(static id => new OutboxRow(id, "orders", null, null, 10))]);
        Assert.Equal(Enumerable.Range(21, 10).Select(static id => (long)id), Bind(core).Ids);
        Assert.Equal(20, core.Count);

        // It is found later, and what was left is read.
        core.Route("lost", 1);
        Assert.Empty(core.NextTopicReads());
        core.Answer(Bind(core), ErrorCode.None, null);
        Assert.Equal(new OutboxRead("lost", 10, 30, 10), Assert.Single(core.NextTopicReads()));
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
