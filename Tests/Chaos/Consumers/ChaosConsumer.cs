using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>A running <see cref="ConsumerProgram"/>.</summary>
internal sealed class ChaosConsumer : IAsyncDisposable
{
    // 128 and the number of SIGTERM.
    private const int EndedByStop = 143;
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(60);

    private readonly StartedProgram _program;
    private bool _wasKilled;
    private bool _wasStopped;
    private volatile bool _hasSpoken;

    /// <summary>Starts it.</summary>
    /// <param name="name">The consumer's name.</param>
    /// <param name="arguments">The program's arguments.</param>
    /// <param name="hear">Receives each line of its output.</param>
    public ChaosConsumer(string name, IReadOnlyList<string> arguments, Action<string> hear)
    {
        Name = name;
        _program = new(Programs.DotNet, [typeof(ConsumerProgram).Assembly.Location, .. arguments], line =>
        {
            _hasSpoken = true;
            hear(line);
        });
    }

    public string Name { get; }

    /// <summary>Why the process ended, unless a SIGKILL or a stop ended it.</summary>
    public string? Failure => !_wasKilled && _program.HasExited && _program.ExitAsync().Result is not 0 and var code
        && !IsStoppedEarly(code) ? $"{Name}, exit code {code}: {_program.Said()}" : null;

    /// <summary>SIGKILL: the consumer finishes, commits and reports nothing.</summary>
    public async Task KillAsync()
    {
        _wasKilled = true;
        Signals.TrySend(_program.Id, Signals.Kill);
        await _program.ExitAsync();
    }

    /// <summary>SIGSTOP, and SIGCONT after a while: the consumer goes on with what it had received.</summary>
    public async Task PauseAsync(TimeSpan time, CancellationToken cancellationToken)
    {
        Signals.TrySend(_program.Id, Signals.Stop);
        try
        {
            await Task.Delay(time, cancellationToken);
        }
        finally
        {
            Signals.TrySend(_program.Id, Signals.Continue);
        }
    }

    /// <summary>SIGTERM: the consumer stops cleanly and commits processed records.</summary>
    public async Task StopAsync()
    {
        _wasStopped = true;
        Signals.TrySend(_program.Id, Signals.Terminate);
        await _program.ExitAsync().WaitAsync(StopPatience);
    }

    public ValueTask DisposeAsync() => _program.DisposeAsync();

    // Before the program hears signals SIGTERM ends it as it ends any process.
    private bool IsStoppedEarly(int code) => _wasStopped && !_hasSpoken && code == EndedByStop;
}
