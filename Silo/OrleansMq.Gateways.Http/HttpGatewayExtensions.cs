using OrleansMq.Gateways.Http;
using OrleansMq.Hosting;

namespace Orleans.Hosting;

/// <summary>Opens the HTTP API of a broker.</summary>
public static class HttpGatewayExtensions
{
    /// <summary>
    /// Serves HTTP: <c>silo.AddOrleansMq().AddHttp(options => options with { Listen = new IPEndPoint(IPAddress.Any, 8080) })</c>. By
    /// default requests may do anything, without authentication: bind an address that only trusted clients reach, or set
    /// <see cref="OrleansMq.Brokers.BrokerOptions.Security"/>, such as its <c>AdminPassword</c>.
    /// </summary>
    /// <param name="builder">The broker.</param>
    /// <param name="configure">Changes the defaults; they listen on <c>127.0.0.1:8080</c>, and log through the host.</param>
    public static TBuilder AddHttp<TBuilder>(this TBuilder builder, Func<HttpGatewayOptions, HttpGatewayOptions>? configure = null)
        where TBuilder : IBrokerBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        builder.AddGateway(services =>
        {
            var options = new HttpGatewayOptions();
            if (services.GetService<ILoggerFactory>() is { } loggers)
                options = options with { LoggerFactory = loggers };
            return new HttpGateway(configure?.Invoke(options) ?? options);
        });
        return builder;
    }
}
