using OrleansMq.Cli.Amqp;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Process.Amqp;

/// <summary>What a shovel may settle at its source.</summary>
public sealed class PendingMessagesTests
{
    [Fact]
    public void Message_is_settled_when_it_and_all_before_it_are_confirmed()
    {
        var pending = Pending(10, 11, 12, 13);
        Assert.Equal((0, 0UL), Confirm(pending, 2, multiple: false));
        Assert.Equal((2, 11UL), Confirm(pending, 1, multiple: false));
        Assert.Equal((0, 0UL), Confirm(pending, 4, multiple: false));
        Assert.Equal((2, 13UL), Confirm(pending, 3, multiple: false));
        Assert.Equal(0, pending.Count);
    }

    [Fact]
    public void Confirm_of_many_settles_them_and_what_follows_confirmed_already()
    {
        var pending = Pending(1, 2, 3, 4, 5);
        Assert.Equal((0, 0UL), Confirm(pending, 4, multiple: false));
        Assert.Equal((0, 0UL), Confirm(pending, 2, multiple: false));
        Assert.Equal((4, 4UL), Confirm(pending, 3, multiple: true));
        Assert.Equal((0, 0UL), Confirm(pending, 3, multiple: true));
        Assert.Equal(1, pending.Count);
        pending.Add(Message(9));
        Assert.Equal((2, 9UL), Confirm(pending, 6, multiple: true));
    }

    [Fact]
    public void After_a_restart_what_is_not_confirmed_is_numbered_anew()
    {
        var pending = Pending(10, 11, 12, 13, 14);
        Assert.Equal((1, 10UL), Confirm(pending, 1, multiple: false));
        Assert.Equal((0, 0UL), Confirm(pending, 3, multiple: false));
        pending.Restart();
        Assert.Equal([11, 13, 14], pending.Unconfirmed.Select(static message => message.Tag));
        Assert.Equal((0, 0UL), Confirm(pending, 2, multiple: false));
        Assert.Equal((3, 13UL), Confirm(pending, 1, multiple: false));
        pending.Add(Message(15));
        Assert.Equal((2, 15UL), Confirm(pending, 4, multiple: true));
    }

    [Fact]
    public void Message_that_the_target_never_takes_does_not_bring_the_others_again()
    {
        var pending = Pending(10, 11, 12);
        Assert.Equal((0, 0UL), Confirm(pending, 2, multiple: false));
        Assert.Equal((0, 0UL), Confirm(pending, 3, multiple: false));
        for (var attempt = 0; attempt < 3; attempt++)
        {
            pending.Restart();
            Assert.Equal([10], pending.Unconfirmed.Select(static message => message.Tag));
        }
        Assert.Equal((3, 12UL), Confirm(pending, 1, multiple: false));
    }

    [Fact]
    public void Messages_that_are_refused_are_published_again_with_those_that_came_meanwhile_and_no_others()
    {
        var pending = Pending(10, 11, 12, 13, 14);
        Assert.Equal((0, 0UL), Confirm(pending, 3, multiple: false));
        pending.Refuse(4, multiple: true);
        pending.Refuse(3, multiple: false);
        pending.AddWaiting(Message(15));
        // The numbers go on behind 14, which is on its way.
        Assert.Equal([10, 11, 13, 15], pending.TakeWaiting().Select(static message => message.Tag));
        Assert.Empty(pending.TakeWaiting());
        pending.Refuse(7, multiple: false);
        Assert.Equal((1, 10UL), Confirm(pending, 6, multiple: true));
        Assert.Equal([11], pending.TakeWaiting().Select(static message => message.Tag));
        Assert.Equal((2, 12UL), Confirm(pending, 10, multiple: false));
        // A target that is lost begins anew, also with what waits.
        pending.Refuse(8, multiple: false);
        pending.Restart();
        Assert.Equal([13, 15], pending.Unconfirmed.Select(static message => message.Tag));
        Assert.Empty(pending.TakeWaiting());
        Assert.Equal((3, 15UL), Confirm(pending, 2, multiple: true));
    }

    [Fact]
    public void Messages_that_are_confirmed_behind_a_refused_one_can_be_settled_one_by_one()
    {
        var pending = Pending(10, 11, 12);
        Assert.Equal((0, 0UL), Confirm(pending, 2, multiple: false));
        pending.Refuse(1, multiple: false);
        Assert.True(pending.IsAnyOnItsWay);
        Assert.Equal((0, 0UL), Confirm(pending, 3, multiple: false));
        Assert.False(pending.IsAnyOnItsWay);
        Assert.Equal([11, 12], pending.Confirmed.Select(static message => message.Tag));
    }

    [Fact]
    public void Any_order_of_confirms_settles_each_message_once_and_never_early()
    {
        var seed = Random.Shared.Next();
        var random = new Random(seed);
        var pending = new PendingMessages();
        var (confirmed, settled, added) = (new HashSet<ulong>(), 0UL, 0UL);
        while (settled < 5_000)
        {
            if (added < 5_000 && random.Next(2) == 0)
            {
                pending.Add(Message(1_000 + ++added));
                continue;
            }
            if (settled == added)
                continue;
            var (number, multiple) = (settled + 1 + (ulong)random.NextInt64((long)(added - settled)), random.Next(4) == 0);
            if (!confirmed.Add(number) && !multiple)
                continue;
            for (var before = 1UL; multiple && before < number; before++)
                confirmed.Add(before);
            var (count, tag) = Confirm(pending, number, multiple);
            if (count > 0)
                Assert.Equal(1_000 + settled + (ulong)count, tag);
            settled += (ulong)count;
            Assert.True(confirmed.IsSupersetOf(Range(1, settled)) && !confirmed.Contains(settled + 1), $"seed {seed}, at {settled}");
            Assert.Equal((int)(added - settled), pending.Count);
        }
    }

    private static IEnumerable<ulong> Range(ulong first, ulong last)
    {
        // The last hundred: the ones before were looked at.
        for (var i = Math.Max(first, last > 100 ? last - 100 : 0); i <= last; i++)
            yield return i;
    }

    private static (int Count, ulong SourceTag) Confirm(PendingMessages pending, ulong number, bool multiple)
    {
        var settled = pending.Confirm(number, multiple);
        return (settled.Count, settled.Count == 0 ? 0 : settled[^1].Tag);
    }

    private static ShovelEvent.Delivered Message(ulong tag) => new(tag, "", new BasicProperties(), default);

    private static PendingMessages Pending(params ulong[] tags)
    {
        var pending = new PendingMessages();
        foreach (var tag in tags)
            pending.Add(Message(tag));
        return pending;
    }
}
