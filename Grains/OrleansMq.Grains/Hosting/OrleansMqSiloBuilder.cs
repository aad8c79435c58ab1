using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Hosting;

namespace Orleans.Hosting;

/// <summary>A silo that is a broker: gateways are opened on it, such as <c>silo.AddOrleansMq().AddKafka().AddHttp()</c>, and Orleans'
/// configuration goes on.</summary>
public sealed class OrleansMqSiloBuilder : ISiloBuilder, IBrokerBuilder
{
    private readonly ISiloBuilder _silo;

    internal OrleansMqSiloBuilder(ISiloBuilder silo) => _silo = silo;

    /// <inheritdoc/>
    public IServiceCollection Services => _silo.Services;

    /// <inheritdoc/>
    public IConfiguration Configuration => _silo.Configuration;

    /// <inheritdoc/>
    /// <remarks>The gateway listens once the silo is active. It drains when the silo begins to stop, after leaderships are handed
    /// over.</remarks>
    public void AddGateway(Func<IServiceProvider, IGateway> create) => Services.AddSingleton(create);
}
