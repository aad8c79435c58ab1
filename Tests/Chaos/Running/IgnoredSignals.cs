using Microsoft.Extensions.Hosting;

namespace OrleansMq.Tests.Chaos.Running;

/// <summary>Leaves signals to the program: a host that hears SIGTERM itself cancels its own start, before the program knows that it is
/// stopped.</summary>
internal sealed class IgnoredSignals : IHostLifetime
{
    public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
