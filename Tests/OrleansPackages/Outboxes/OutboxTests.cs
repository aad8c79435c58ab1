using OrleansMq.Client;
using OrleansMq.Outboxes;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.OrleansPackages.Outboxes;

/// <summary>What an outbox delivers, and what it keeps: messages of a stored state are in their topic once and in order.</summary>
public sealed class OutboxTests(PostgreSqlFixture postgres) : OutboxClusterTests(postgres)
{
    [SkippableFact]
    public async Task Message_is_delivered_once_its_state_is_written_and_not_when_it_is_read_again_instead()
    {
        await CreateAsync("written", 3);
        var grain = Ledger("written-1");
        await grain.AddAsync("written", 1);
        Assert.Empty(await grain.ReadAgainAsync());
        for (var number = 2; number < 40; number++)
            await grain.BookAsync("written", number);
        await grain.FlushAsync();
        Assert.Equal(Enumerable.Range(2, 38), await ReadAsync("written"));
        var record = (await RecordsAsync("written"))[0];
        Assert.Equal("written-1", record.Key);
        Assert.Contains(record.Headers, static header => header.Name() == OutboxHeaders.MessageId);
    }

    [SkippableFact]
    public async Task Write_whose_answer_is_lost_succeeds_and_one_that_is_lost_fails_and_sends_nothing()
    {
        await CreateAsync("unclear", 3);
        var grain = Ledger("unclear-1");
        await grain.BookAsync("unclear", 0);
        await grain.FlushAsync();
        var fault = WriteFault.Unanswered;
        Storage.Fault = _ => Interlocked.Exchange(ref fault, WriteFault.None);
        await grain.BookAsync("unclear", 1);
        await grain.FlushAsync();
        fault = WriteFault.Lost;
        await Assert.ThrowsAnyAsync<Exception>(() => grain.BookAsync("unclear", 2));
        await grain.BookAsync("unclear", 3);
        await grain.FlushAsync();
        Assert.Equal((int[])[0, 1, 3], await ReadAsync("unclear"));
        Assert.Equal((int[])[0, 1, 3], await grain.ReadAgainAsync());
    }

    [SkippableFact]
    public async Task Messages_to_a_topic_that_is_not_there_wait_for_it_and_hold_back_no_other_topic()
    {
        await CreateAsync("there", 1);
        var grain = Ledger("away-1");
        for (var number = 0; number < 10; number++)
            await grain.BookAsync(number % 2 == 0 ? "away" : "there", number);
        await UntilDeliveredAsync("there", [1, 3, 5, 7, 9]);
        Assert.Contains("not delivered", await grain.ClearAsync());
        await CreateAsync("away", 3);
        await UntilDeliveredAsync("away", [0, 2, 4, 6, 8]);
        await grain.FlushAsync();
        Assert.Null(await grain.ClearAsync());
    }

    [SkippableFact]
    public async Task Messages_to_a_topic_that_will_never_exist_can_be_discarded()
    {
        await CreateAsync("existing", 1);
        var grain = Ledger("mistyped-1");
        foreach (var wrong in (string[])["orders for eu", "__outbox", ".."])
            await Assert.ThrowsAnyAsync<ArgumentException>(() => grain.AddAsync(wrong, 0));
        await grain.ReadAgainAsync();
        await grain.BookAsync("mistyped", 1);
        await grain.BookAsync("existing", 2);
        await UntilDeliveredAsync("existing", [2]);
        // The outbox hears of a delivery after the topic's readers.
        await Wait.UntilAsync(async () => await grain.PendingAsync() is ["mistyped"], "only the message to no topic is pending");
        Assert.Contains("topics mistyped.", await grain.ClearAsync());
        await grain.DiscardAsync("mistyped");
        Assert.Empty(await grain.PendingAsync());
        Assert.Null(await grain.ClearAsync());
        // A topic of that name gets nothing of it.
        await CreateAsync("mistyped", 1);
        await grain.BookAsync("mistyped", 3);
        await UntilDeliveredAsync("mistyped", [3]);
    }

    [SkippableFact]
    public async Task Outbox_that_cleans_up_does_not_write_what_the_grain_has_changed_and_not_written()
    {
        await CreateAsync("unwritten", 3);
        var grain = Ledger("unwritten-1");
        var isChanged = new TaskCompletionSource();
        BeforeSend["unwritten-1"] = () => isChanged.Task;
        await grain.BookAsync("unwritten", 1);
        await grain.AddAsync("unwritten", 2);
        isChanged.SetResult();
        await Wait.UntilAsync(() => Storage.Find(grain.GetGrainId())?.Contains("\"Topic\"", StringComparison.Ordinal) == false,
            "delivered messages are removed from the state");
        Assert.Contains("[1]", Storage.Find(grain.GetGrainId()));
        // The grain's own write goes on from there.
        await grain.BookAsync("unwritten", 3);
        await grain.FlushAsync();
        Assert.Equal((int[])[1, 2, 3], await ReadAsync("unwritten"));
        await grain.AddAsync("unwritten", 4);
        Assert.Equal((int[])[1, 2, 3], await grain.ReadAgainAsync());
    }

    [SkippableFact]
    public async Task Message_that_its_topic_refuses_is_parked_and_the_later_ones_are_delivered()
    {
        await CreateAsync("parked", 1, ("max.message.bytes", "2000"));
        var grain = Ledger("parked-1");
        await grain.BookAsync("parked", 0);
        await grain.BookAsync("parked", 1, "1" + new string(' ', 5_000));
        await grain.BookAsync("parked", 2);
        await UntilDeliveredAsync("parked", [0, 2]);
        await Wait.UntilAsync(async () => (await grain.ParkedAsync()) is [var why]
            && why.Contains("MessageTooLarge", StringComparison.Ordinal), "the message is parked");
        await Cluster.Broker(1).AlterTopicAsync("parked", new Dictionary<string, string?> { ["max.message.bytes"] = "100000" });
        await Wait.UntilAsync(async () =>
        {
            await grain.RetryParkedAsync();
            await grain.FlushAsync();
            return (await grain.ParkedAsync()).Length == 0 && (await ReadAsync("parked")).Length == 3;
        }, "the message is delivered under the higher limit");
        Assert.Equal((int[])[0, 2, 1], await ReadAsync("parked"));
    }
}
