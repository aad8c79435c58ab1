using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace OrleansMq.Client;

/// <summary>Runs a loop of transactions for the lifetime of a host. Where the loop ends with an exception, the service fails, and the host
/// with it. A handler that cannot be created at the start fails the start.</summary>
/// <param name="scopes">Creates the scopes.</param>
/// <param name="topics">The topics that exist before the loop starts; null for none.</param>
/// <param name="run">Runs the loop with what handles each record, until its token is cancelled.</param>
internal sealed class TransactionalHandlerService<TKey, TValue, TResultKey, TResultValue, THandler>(IServiceScopeFactory scopes,
    TopicsAtStart? topics,
    Func<Func<ConsumeResult<TKey, TValue>, CancellationToken, ValueTask<IEnumerable<ProducerRecord<TResultKey, TResultValue>>>>,
        CancellationToken, Task> run) : BackgroundService
    where THandler : class, ITransactionalHandler<TKey, TValue, TResultKey, TResultValue>
{
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        var scope = scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
            Create(scope.ServiceProvider);
        if (topics is not null)
            await topics.EnsureAsync(cancellationToken).ConfigureAwait(false);
        await base.StartAsync(cancellationToken).ConfigureAwait(false);
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => run(HandleAsync, stoppingToken);

    private async ValueTask<IEnumerable<ProducerRecord<TResultKey, TResultValue>>> HandleAsync(ConsumeResult<TKey, TValue> record,
        CancellationToken cancellationToken)
    {
        var scope = scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
        {
            var results = await Create(scope.ServiceProvider).HandleAsync(record, cancellationToken).ConfigureAwait(false);
            // What is computed while it is read may need the scope.
            return results is null ? [] : [.. results];
        }
    }

    private static THandler Create(IServiceProvider services)
    {
        try
        {
            return services.GetRequiredService<THandler>();
        }
        catch (Exception e)
        {
            throw new HandlerCreationException(typeof(THandler), e);
        }
    }
}
