using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Npgsql;
using OrleansMq.Client;
using OrleansMq.Client.PostgreSql;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers outboxes in PostgreSQL.</summary>
public static class OrleansMqPostgresOutboxExtensions
{
    /// <summary>
    /// Registers a <see cref="PostgresOutbox"/>, and runs its relay while the host runs. Every process of the service may: one relay is in
    /// charge at a time, and another takes over when it ends. Further outboxes are keyed services, by their names.
    /// <code>services.AddOrleansMqClient().UseHttp(uri).AddPostgresOutbox();</code>
    /// </summary>
    /// <param name="builder">The client.</param>
    /// <param name="options">Its name, and how it is relayed; null for the defaults.</param>
    /// <param name="database">The application's database; null for the <see cref="NpgsqlDataSource"/> in the container.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    public static OrleansMqClientBuilder AddPostgresOutbox(this OrleansMqClientBuilder builder, PostgresOutboxOptions? options = null,
        NpgsqlDataSource? database = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        options ??= new PostgresOutboxOptions();
        options.Validate();
        builder.Services.AddKeyedSingleton(options.Name, (provider, _) => new PostgresOutbox(options,
            provider.GetRequiredService<IOptions<OrleansMqClientOptions>>().Value));
        builder.Services.TryAddSingleton(provider => provider.GetRequiredKeyedService<PostgresOutbox>(options.Name));
        if (options.RunsRelay)
        {
            builder.Services.AddSingleton<IHostedService>(provider => new RelayService(new OutboxRelay(
                provider.GetRequiredService<OrleansMqClient>().Broker,
                database ?? provider.GetService<NpgsqlDataSource>() ?? throw new InvalidOperationException(
                    "AddPostgresOutbox() found no NpgsqlDataSource. Register one, or pass it."),
                options, TimeProvider.System,
                (provider.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance).CreateLogger("OrleansMq.Client.PostgresOutbox"))));
        }
        return builder;
    }

    private sealed class RelayService(OutboxRelay relay) : BackgroundService
    {
        protected override Task ExecuteAsync(CancellationToken stoppingToken) => relay.RunAsync(stoppingToken);
    }
}
