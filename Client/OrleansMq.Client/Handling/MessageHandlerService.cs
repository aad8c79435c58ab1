using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace OrleansMq.Client;

/// <summary>Runs a handler in a host, from its start to its stop. When the consumer cannot be a member of its group any more it fails, and
/// the host with it.</summary>
internal sealed class MessageHandlerService<TKey, TValue, THandler>(IServiceScopeFactory scopes,
    Func<Func<ConsumeResult<TKey, TValue>, CancellationToken, ValueTask>, MessageProcessor<TKey, TValue>> create) : BackgroundService
    where THandler : class, IMessageHandler<TKey, TValue>
{
    private MessageProcessor<TKey, TValue>? _processor;

    public override Task StartAsync(CancellationToken cancellationToken)
    {
        _processor = create(HandleAsync);
        _processor.Start();
        return base.StartAsync(cancellationToken);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        if (_processor is { } processor)
            await processor.StopAsync(cancellationToken).ConfigureAwait(false);
        await base.StopAsync(cancellationToken).ConfigureAwait(false);
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => _processor!.Completion;

    private async ValueTask HandleAsync(ConsumeResult<TKey, TValue> record, CancellationToken cancellationToken)
    {
        // A scope a record, as a web host has one a request: a database context in it is the record's own.
        var scope = scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
            await scope.ServiceProvider.GetRequiredService<THandler>().HandleAsync(record, cancellationToken).ConfigureAwait(false);
    }
}
