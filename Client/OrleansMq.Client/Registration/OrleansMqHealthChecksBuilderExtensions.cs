using Microsoft.Extensions.Diagnostics.HealthChecks;
using OrleansMq.Client;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>The health check of the client library.</summary>
public static class OrleansMqHealthChecksBuilderExtensions
{
    /// <summary>
    /// Adds a check of the registered client: <paramref name="failureStatus"/> if no broker answers or a message handler has failed,
    /// degraded while a handler has stopped a partition. Its data count what each handler was assigned, has handled, and has written to
    /// dead-letter topics.
    /// </summary>
    /// <param name="builder">The health checks.</param>
    /// <param name="name">The name of the check.</param>
    /// <param name="failureStatus">The status without a broker, or with a failed handler; null for unhealthy.</param>
    /// <param name="tags">Tags to select checks by.</param>
    /// <param name="timeout">How long a broker may take to answer; null for 5 seconds.</param>
    public static IHealthChecksBuilder AddOrleansMq(this IHealthChecksBuilder builder, string name = "orleansmq",
        HealthStatus? failureStatus = null, IEnumerable<string>? tags = null, TimeSpan? timeout = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        return builder.Add(new HealthCheckRegistration(name, static services => new OrleansMqHealthCheck(
            services.GetRequiredService<OrleansMqClient>(), services.GetServices<IHostedMessageHandler>()), failureStatus, tags,
            timeout ?? TimeSpan.FromSeconds(5)));
    }
}
