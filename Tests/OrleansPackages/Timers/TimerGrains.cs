using System.Collections.Concurrent;
using OrleansMq.Tests.OrleansPackages.Consumers;
using OrleansMq.Timers;

namespace OrleansMq.Tests.OrleansPackages.Timers;

/// <summary>A message.</summary>
[Alias("test-ping")]
public sealed record Ping(int Number);

/// <summary>A message of another type.</summary>
public sealed record Pong(string Text);

/// <summary>A message that no class handles.</summary>
public sealed record Unhandled(int Number);

/// <summary>What a grain received.</summary>
internal sealed record Firing(int Number, FiredTimer Timer, Grain Grain, DateTimeOffset At, CancellationToken Token);

/// <summary>What grains received, and what they do then. Every test has grains of its own.</summary>
internal static class TimerScript
{
    private static readonly ConcurrentDictionary<string, ConcurrentQueue<Firing>> s_received = [];
    private static readonly ConcurrentDictionary<string, Func<Firing, Task>> s_scripts = [];

    /// <summary>Sets what the grain does with a message before it counts as received.</summary>
    public static void On(string key, Func<Firing, Task> script) => s_scripts[key] = script;

    /// <summary>Returns what was received, in order.</summary>
    public static Firing[] Calls(string key) => s_received.TryGetValue(key, out var received) ? [.. received] : [];

    /// <summary>Returns the numbers that were received, in order.</summary>
    public static int[] Received(string key) => [.. Calls(key).Select(static call => call.Number)];

    public static async Task ReceiveAsync(Grain grain, int number, FiredTimer timer, CancellationToken cancellationToken)
    {
        var call = new Firing(number, timer, grain, DateTimeOffset.UtcNow, cancellationToken);
        var key = grain is ITimedNumberGrain ? $"{grain.GetPrimaryKeyLong()}" : grain.GetPrimaryKeyString();
        if (s_scripts.TryGetValue(key, out var script))
            await script(call);
        s_received.GetOrAdd(key, _ => new()).Enqueue(call);
    }
}

public interface ITimedGrain : IGrainWithStringKey
{
    Task ScheduleAsync(DateTimeOffset at, int number, string id);
}

/// <summary>Handles what most tests send, and sends timers to itself.</summary>
[Orleans.Concurrency.Reentrant]
public sealed class TimedGrain(IDurableTimers timers) : Grain, ITimedGrain, IDurableTimerHandler<Ping>, IDurableTimerHandler<Pong>
{
    public Task ScheduleAsync(DateTimeOffset at, int number, string id) => timers.ScheduleAsync(this, at, new Ping(number), id);

    public Task HandleTimerAsync(Ping message, FiredTimer timer, CancellationToken cancellationToken) =>
        TimerScript.ReceiveAsync(this, message.Number, timer, cancellationToken);

    public Task HandleTimerAsync(Pong message, FiredTimer timer, CancellationToken cancellationToken) =>
        TimerScript.ReceiveAsync(this, message.Text.Length, timer, cancellationToken);
}

public interface ITimedTallyGrain : IGrainWithStringKey
{
    Task<int[]> GetAsync();
}

/// <summary>Counts each number once, in its state.</summary>
public sealed class TimedTallyGrain([PersistentState("timed", SharedStorage.Name)] IPersistentState<Tally> tally) : Grain, ITimedTallyGrain,
    IDurableTimerHandler<Ping>
{
    public async Task HandleTimerAsync(Ping message, FiredTimer timer, CancellationToken cancellationToken)
    {
        await TimerScript.ReceiveAsync(this, message.Number, timer, cancellationToken);
        if (tally.State.Processed.TryApply(timer.Position, () => tally.State.Numbers.Add(message.Number)))
            await tally.WriteStateAsync();
    }

    public Task<int[]> GetAsync() => Task.FromResult(tally.State.Numbers.ToArray());
}

public interface ITimedNumberGrain : IGrainWithIntegerKey;

/// <summary>Asks for its key when it activates, which fails where that is no number.</summary>
public sealed class TimedNumberGrain : Grain, ITimedNumberGrain, IDurableTimerHandler<Ping>
{
    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        _ = this.GetPrimaryKeyLong();
        return Task.CompletedTask;
    }

    public Task HandleTimerAsync(Ping message, FiredTimer timer, CancellationToken cancellationToken) =>
        TimerScript.ReceiveAsync(this, message.Number, timer, cancellationToken);
}
