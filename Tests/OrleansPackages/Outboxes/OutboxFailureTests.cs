using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.OrleansPackages.Outboxes;

/// <summary>Writes of grains that fail: what was not stored is dropped, so a call that is repeated books once.</summary>
public sealed class OutboxFailureTests(PostgreSqlFixture postgres) : OutboxClusterTests(postgres)
{
    [SkippableFact]
    public async Task Deposit_that_is_repeated_after_its_wake_up_could_not_be_stored_is_booked_once()
    {
        await CreateAsync("no-wake-up", 3);
        var grain = Ledger("no-wake-up-1");
        BeforeWakeUp["no-wake-up-1"] = () => throw new BrokerException(ErrorCode.RequestTimedOut, "the brokers are away");
        await Assert.ThrowsAnyAsync<Exception>(() => grain.DepositAsync("no-wake-up", 1));
        BeforeWakeUp.Clear();
        await UntilItSucceedsAsync(() => grain.DepositAsync("no-wake-up", 1));
        await grain.FlushAsync();
        Assert.Equal((int[])[1], await grain.ReadAgainAsync());
        Assert.Equal((int[])[1], await ReadAsync("no-wake-up"));
    }

    [SkippableTheory]
    [InlineData(WriteFault.Lost)]
    [InlineData(WriteFault.Unanswered)]
    public async Task Call_that_is_repeated_after_neither_write_nor_read_was_answered_is_booked_once(WriteFault first)
    {
        await CreateAsync("away", 3);
        var grain = Ledger("away-1");
        await grain.BookAsync("away", 0);
        await grain.FlushAsync();
        var (fault, canRead) = (first, false);
        Storage.Fault = _ => Interlocked.Exchange(ref fault, WriteFault.None);
        Storage.CanRead = _ => Volatile.Read(ref canRead);
        await Assert.ThrowsAnyAsync<Exception>(() => grain.BookAsync("away", 1));
        // Not as if it were booked.
        await Assert.ThrowsAnyAsync<Exception>(() => grain.BookAsync("away", 1));
        Volatile.Write(ref canRead, true);
        await UntilItSucceedsAsync(() => grain.BookAsync("away", 1));
        await grain.FlushAsync();
        Assert.Equal((int[])[0, 1], await grain.ReadAgainAsync());
        Assert.Equal((int[])[0, 1], await ReadAsync("away"));
    }

    [SkippableFact]
    public async Task Call_whose_change_was_dropped_with_the_failed_write_of_another_call_does_not_succeed()
    {
        await CreateAsync("interleaved", 3);
        var grain = Cluster.Get<IGrainFactory>(2).GetGrain<IInterleavedLedgerGrain>("interleaved-1");
        await grain.BookAsync("interleaved", 0);
        await grain.FlushAsync();
        var (isWriting, isFailing) = (new TaskCompletionSource(), new TaskCompletionSource());
        var fault = WriteFault.Lost;
        Storage.BeforeWrite = _ =>
        {
            isWriting.TrySetResult();
            return isFailing.Task;
        };
        Storage.Fault = _ => Interlocked.Exchange(ref fault, WriteFault.None);
        var first = grain.BookAsync("interleaved", 1);
        await isWriting.Task.WaitAsync(Wait.Deadline);
        // One has added, and waits for its write; one has added, and does not write yet.
        var second = grain.BookAsync("interleaved", 2);
        await grain.AddAsync("interleaved", 3);
        isFailing.SetResult();
        await Assert.ThrowsAnyAsync<Exception>(() => first);
        await Assert.ThrowsAnyAsync<Exception>(() => second);
        await UntilItSucceedsAsync(() => grain.BookAsync("interleaved", 4));
        await grain.FlushAsync();
        Assert.Equal((int[])[0, 4], await grain.ReadAgainAsync());
        Assert.Equal((int[])[0, 4], await ReadAsync("interleaved"));
    }

    [SkippableFact]
    public async Task Flush_ends_when_the_last_message_is_parked()
    {
        await CreateAsync("flushed", 1, ("max.message.bytes", "2000"));
        var grain = Ledger("flushed-1");
        await grain.BookAndFlushAsync("flushed", 1, "1" + new string(' ', 5_000));
        Assert.Contains("MessageTooLarge", Assert.Single(await grain.ParkedAsync()));
    }

    // A call that meets the end of the activation fails, and is repeated.
    internal static Task UntilItSucceedsAsync(Func<Task> call) => Wait.UntilAsync(async () =>
    {
        try
        {
            await call();
            return true;
        }
        catch (OrleansException)
        {
            return false;
        }
    }, "the call succeeds");
}
