using Microsoft.Extensions.Hosting;

namespace OrleansMq.Gateways;

/// <summary>The lifetime of a host inside a program that handles signals itself: SIGTERM neither cancels the host's start nor stops it
/// before the program does.</summary>
internal sealed class IgnoredSignals : IHostLifetime
{
    /// <inheritdoc/>
    public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
