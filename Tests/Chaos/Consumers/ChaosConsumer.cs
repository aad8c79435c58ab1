using System.Text.Json;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>A running <see cref="ConsumerProgram"/>.</summary>
internal sealed class ChaosConsumer : IAsyncDisposable
{
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(60);

    private readonly StartedProgram _program;
    private bool _wasKilled;

    public ChaosConsumer(ConsumerOrder order, RunLog log)
    {
        Name = order.Name;
        _program = new StartedProgram(Programs.DotNet, [typeof(ConsumerProgram).Assembly.Location, JsonSerializer.Serialize(order)],
            line => log.Tell($"{Name}: {line}"));
    }

    public string Name { get; }

    /// <summary>Why the process ended, unless a SIGKILL or a stop ended it.</summary>
    public string? Failure => !_wasKilled && _program.HasExited && _program.ExitAsync().Result != 0 ? $"{Name}: {_program.Said()}" : null;

    /// <summary>SIGKILL: the consumer finishes, commits and reports nothing.</summary>
    public async Task KillAsync()
    {
        _wasKilled = true;
        Signals.TrySend(_program.Id, Signals.Kill);
        await _program.ExitAsync();
    }

    /// <summary>SIGTERM: the consumer stops cleanly and commits processed records.</summary>
    public async Task StopAsync()
    {
        Signals.TrySend(_program.Id, Signals.Terminate);
        await _program.ExitAsync().WaitAsync(StopPatience);
    }

    public ValueTask DisposeAsync() => _program.DisposeAsync();
}
