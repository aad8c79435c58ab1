namespace OrleansMq.Silo.Hosting;

/// <summary>Leaves signals to <see cref="BrokerProgram"/>, which stops the broker in its own order.</summary>
internal sealed class ProgramLifetime : IHostLifetime
{
    /// <inheritdoc/>
    public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
