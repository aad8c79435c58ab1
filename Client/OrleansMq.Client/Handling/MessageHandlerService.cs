using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace OrleansMq.Client;

/// <summary>Runs a handler for the lifetime of a host. If the consumer can no longer be a member of its group, the service fails, and the
/// host with it.</summary>
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
        // A scope per record, as a web host has one per request. A database context in it belongs to that record.
        var scope = scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
            await scope.ServiceProvider.GetRequiredService<THandler>().HandleAsync(record, cancellationToken).ConfigureAwait(false);
    }
}
