using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.OrleansPackages.Outboxes;

/// <summary>Outboxes whose activations end, are doubled, or die with their silo: no message is lost or doubled.</summary>
public sealed class OutboxFailoverTests(PostgreSqlFixture postgres) : OutboxClusterTests(postgres)
{
    [SkippableFact]
    public async Task Silo_that_dies_between_write_and_send_leaves_messages_that_another_delivers_without_a_call()
    {
        await CreateAsync("killed", 3);
        var grain = Ledger("killed-1", from: 1);
        var victim = await BrokerOfAsync(grain);
        var isHeld = new TaskCompletionSource();
        // The first activation never sends.
        BeforeSend["killed-1"] = () =>
        {
            isHeld.TrySetResult();
            return BeforeSend.ContainsKey("killed-1") ? new TaskCompletionSource().Task : Task.CompletedTask;
        };
        for (var number = 0; number < 5; number++)
            await grain.BookAsync("killed", number);
        await isHeld.Task.WaitAsync(Wait.Deadline);
        Assert.Empty(await ReadAsync("killed"));
        BeforeSend.Clear();
        await Cluster.KillAsync(victim);
        await UntilDeliveredAsync("killed", Enumerable.Range(0, 5));
        // Nothing is left in the state, and no wake-up.
        await Wait.UntilAsync(() => Storage.Find(grain.GetGrainId())?.Contains("\"Topic\"", StringComparison.Ordinal) == false,
            "delivered messages are removed from the state");
        await UntilWakeUpsAreSettledAsync();
        Assert.Equal(Enumerable.Range(0, 5), await ReadAsync("killed"));
    }

    [SkippableFact]
    public async Task Activation_that_ends_in_the_middle_doubles_nothing_and_loses_nothing()
    {
        await CreateAsync("deactivated", 3);
        var grain = Ledger("deactivated-1");
        var sends = 0;
        BeforeSend["deactivated-1"] = () => Task.Delay(Interlocked.Increment(ref sends) % 3 == 0 ? 50 : 0);
        for (var number = 0; number < 60; number++)
        {
            await grain.BookAsync("deactivated", number);
            if (number % 4 == 0)
                await grain.DeactivateAsync();
        }
        await UntilDeliveredAsync("deactivated", Enumerable.Range(0, 60));
    }

    [SkippableFact]
    public async Task Two_activations_of_a_grain_send_each_message_once()
    {
        await CreateAsync("doubled", 3);
        var refused = 0;
        await Task.WhenAll(Enumerable.Range(0, 3).Select(async worker =>
        {
            var grain = Cluster.Get<IGrainFactory>(1 + worker).GetGrain<IDoubledLedgerGrain>("doubled-1");
            for (var number = worker; number < 60; number += 3)
            {
                await Wait.UntilAsync(async () =>
                {
                    try
                    {
                        await grain.BookAsync("doubled", number);
                        return true;
                    }
                    catch (Exception lost) when (IsLost(lost))
                    {
                        Interlocked.Increment(ref refused);
                        return false;
                    }
                }, $"{number} is booked");
            }
        }));
        await Wait.UntilAsync(async () => (await ReadAsync("doubled")).Length >= 60, "all are delivered");
        await UntilWakeUpsAreSettledAsync();
        Assert.Equal(Enumerable.Range(0, 60), (await ReadAsync("doubled")).Order());
        Assert.True(refused > 0, "activations met");
    }

    [SkippableFact]
    public async Task Silo_that_dies_under_load_loses_and_doubles_no_message()
    {
        const int Grains = 12, Numbers = 30;
        await CreateAsync("load", 6);
        var victim = (await Cluster.Broker(1).DescribeTopicAsync("load")).Partitions[0].Leader;
        var survivor = 1 + (victim % 3);
        var booked = 0;
        var booking = Task.WhenAll(Enumerable.Range(0, Grains).Select(async index =>
        {
            var grain = Ledger($"load-{index}", from: survivor);
            for (var number = 0; number < Numbers; number++)
            {
                // A call whose outcome is unknown is repeated: the state tells what was booked.
                await Wait.UntilAsync(async () =>
                {
                    try
                    {
                        await grain.BookAsync("load", (index * 1_000) + number);
                        return true;
                    }
                    catch (Exception failure) when (failure is not Xunit.Sdk.XunitException)
                    {
                        await Task.Delay(20);
                        return false;
                    }
                }, "the number is booked", deadline: TimeSpan.FromMinutes(2));
                Interlocked.Increment(ref booked);
            }
        }));
        await Wait.UntilAsync(() => Volatile.Read(ref booked) > Grains * Numbers / 4, "a quarter is booked");
        await Cluster.KillAsync(victim);
        await booking;
        var expected = Enumerable.Range(0, Grains).SelectMany(index => Enumerable.Range(index * 1_000, Numbers)).ToList();
        await Wait.UntilAsync(async () => (await ReadAsync("load", survivor)).Length >= expected.Count, "all are delivered",
            deadline: TimeSpan.FromMinutes(2));
        await UntilWakeUpsAreSettledAsync();
        var read = await ReadAsync("load", survivor);
        Assert.Equal(expected, read.Order());
        foreach (var ofGrain in read.GroupBy(static number => number / 1_000))
            Assert.Equal(ofGrain.Order(), ofGrain);
    }

    private static bool IsLost(Exception failure) => failure is Orleans.Storage.InconsistentStateException
        || failure.GetType().Name.Contains("InconsistentState", StringComparison.Ordinal) || failure is OrleansException;
}
