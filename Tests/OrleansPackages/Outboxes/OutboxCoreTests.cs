using OrleansMq.Outboxes;

namespace OrleansMq.Tests.OrleansPackages.Outboxes;

/// <summary>Decisions of an outbox: which ids messages have, and what an answer of the broker means.</summary>
public sealed class OutboxCoreTests
{
    private static readonly TopicPartition s_target = new("orders", 0);
    private long _ids = 1L << 62;

    [Fact]
    public void State_that_is_copied_or_restored_gives_new_messages_other_ids()
    {
        var first = Open(new OutboxDocument());
        var early = Write(first, "a");
        Write(first, "b");
        // Another grain, or the same one after a restore.
        var copy = Open(early);
        Write(copy, "c");
        Assert.Equal(first.InForce.Pending[0].IdText, copy.InForce.Pending[0].IdText);
        var restored = first.InForce.Pending[1].IdText;
        // Also for the activation that goes on after the restore.
        first.Adopt(early);
        Write(first, "d");
        string[] ids = [copy.InForce.Pending[1].IdText, first.InForce.Pending[1].IdText, restored];
        Assert.Equal(3, ids.Distinct().Count());
    }

    [Fact]
    public void Messages_of_an_earlier_activation_go_first_and_in_a_batch_of_their_own()
    {
        var first = Open(new OutboxDocument());
        Write(first, "a");
        var second = Open(Write(first, "b"));
        Write(second, "c");
        var run = second.Take(s_target)!;
        Assert.Equal(["a", "b"], Names(run.Messages));
        second.Answer(run, ErrorCode.None, null);
        Assert.Equal(["c"], Names(second.Take(s_target)!.Messages));
    }

    [Fact]
    public void Full_queue_is_retried_and_parks_nothing()
    {
        var core = Open(new OutboxDocument());
        Write(core, "a");
        Assert.Equal(OutboxVerdict.Retry, core.Answer(core.Take(s_target)!, ErrorCode.PolicyViolation, "full"));
        Assert.False(core.NeedsWrite);
    }

    [Fact]
    public void Parked_message_that_is_sent_again_is_the_same_message_for_its_readers()
    {
        var core = Open(new OutboxDocument());
        Write(core, "a");
        var id = core.InForce.Pending[0].IdText;
        for (var round = 0; round < 2; round++)
        {
            Assert.Equal(OutboxVerdict.Refused, core.Answer(core.Take(s_target)!, ErrorCode.MessageTooLarge, "large"));
            core.Adopt(core.Compose(false, 0, Guid.NewGuid(), static _ => null), isOwn: true);
            Assert.Single(core.InForce.Parked);
            core.RetryParked();
            var before = core.InForce.LastSequence;
            Write(core);
            var again = Assert.Single(core.InForce.Pending);
            Assert.Equal(id, again.IdText);
            Assert.True(again.Sequence > before);
        }
    }

    [Fact]
    public void Discarded_messages_leave_with_the_next_write_and_stay_where_it_fails()
    {
        var core = Open(new OutboxDocument());
        Write(core, "a");
        core.Add(new OutboxMessage { Topic = "orders", Partition = 0 });
        core.DiscardPending("orders");
        Assert.Empty(core.Added);
        Assert.True(core.HasAdded);
        Assert.Single(core.Compose(false, 0, Guid.NewGuid(), static _ => null).Pending);
        core.Drop();
        Assert.Single(core.Compose(true, 0, Guid.NewGuid(), static _ => null).Pending);
        core.DiscardPending("orders");
        Write(core, "b");
        Assert.Equal(["b"], Names(core.InForce.Pending));
    }

    [Fact]
    public void Message_that_is_discarded_while_it_is_written_leaves_with_the_next_write_and_takes_no_other_along()
    {
        var core = Open(new OutboxDocument());
        core.Add(new OutboxMessage { Topic = "orders", Partition = 0 });
        var document = core.Compose(true, _ids++, Guid.NewGuid(), static _ => null);
        core.DiscardPending("orders");
        core.Add(new OutboxMessage { Topic = "bills", Partition = 0 });
        core.Written(document);
        Assert.Equal("bills", Assert.Single(core.Added).Topic);
        var next = core.Compose(true, _ids++, Guid.NewGuid(), static _ => null);
        Assert.Equal("bills", Assert.Single(next.Pending).Topic);
        core.Written(next);
        Assert.False(core.HasAdded);
    }

    [Fact]
    public void Write_whose_messages_are_all_discarded_meanwhile_succeeds()
    {
        var core = Open(new OutboxDocument());
        core.Add(new OutboxMessage { Topic = "orders", Partition = 0 });
        var document = core.Compose(true, _ids++, Guid.NewGuid(), static _ => null);
        core.DiscardPending("orders");
        core.Written(document);
        Assert.Equal(document.Stamp, core.InForce.Stamp);
        Assert.True(core.HasAdded);
        Assert.Empty(core.Compose(true, _ids++, Guid.NewGuid(), static _ => null).Pending);
    }

    [Fact]
    public void Refusal_of_the_producer_is_no_fault_of_the_message_and_parks_nothing()
    {
        var core = Open(new OutboxDocument());
        Write(core, "a");
        var refusal = OrleansMq.Access.BatchProducers.Reserved;
        Assert.Equal(OutboxVerdict.Retry, core.Answer(core.Take(s_target)!, refusal.Error, refusal.Message));
        Assert.False(core.NeedsWrite);
    }

    private static OutboxCore Open(OutboxDocument document)
    {
        var core = new OutboxCore(100, 10_000);
        core.Adopt(document);
        return core;
    }

    private OutboxDocument Write(OutboxCore core, params string[] names)
    {
        foreach (var name in names)
            core.Add(new OutboxMessage { Topic = "orders", Partition = 0, Value = System.Text.Encoding.UTF8.GetBytes(name) });
        var document = core.Compose(true, _ids++, Guid.NewGuid(), static _ => null);
        core.Written(document);
        return document;
    }

    private static IEnumerable<string> Names(IEnumerable<OutboxMessage> messages) =>
        messages.Select(static message => System.Text.Encoding.UTF8.GetString(message.Value!));
}
