using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace OrleansMq.Client;

/// <summary>Runs a handler for the lifetime of a host. If the consumer can no longer be a member of its group, the service fails, and the
/// host with it. A handler that cannot be created at the start fails the start.</summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
/// <param name="name">Its name.</param>
/// <param name="handlerType">The type of the application's handler, for errors.</param>
/// <param name="resolve">Creates a handler in the scope of a record.</param>
/// <param name="scopes">Creates the scopes.</param>
/// <param name="create">Creates the processor.</param>
/// <param name="topics">The topics that exist before the handler starts; null for none.</param>
/// <param name="start">Starts the processor, and completes when the handler counts as started; null only starts it.</param>
internal sealed class MessageHandlerService<TKey, TValue>(string name, Type handlerType,
    Func<IServiceProvider, IMessageHandler<TKey, TValue>> resolve, IServiceScopeFactory scopes,
    Func<Func<MessageContext<TKey, TValue>, CancellationToken, ValueTask>, MessageProcessor<TKey, TValue>> create, TopicsAtStart? topics,
    Func<MessageProcessor<TKey, TValue>, CancellationToken, Task>? start = null)
    : BackgroundService, IHostedMessageHandler
{
    private MessageProcessor<TKey, TValue>? _processor;

    public string Name => name;

    public IReadOnlyCollection<TopicPartition> Assignment => _processor?.Consumer.Assignment ?? [];

    public IReadOnlyDictionary<TopicPartition, Exception> Stopped => _processor?.Stopped ?? new Dictionary<TopicPartition, Exception>();

    public MessageProcessorStatistics Statistics => _processor?.Statistics ?? default;

    public Task Completion => _processor?.Completion ?? Task.CompletedTask;

    public void Resume(TopicPartition partition)
    {
        if (_processor is not { } processor)
            throw new InvalidOperationException($"{partition} is not assigned to {name}, which has not started.");
        processor.Resume(partition);
    }

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await CreateOnceAsync().ConfigureAwait(false);
        if (topics is not null)
            await topics.EnsureAsync(cancellationToken).ConfigureAwait(false);
        _processor = create(HandleAsync);
        if (start is null)
            _processor.Start();
        else
            await start(_processor, cancellationToken).ConfigureAwait(false);
        await base.StartAsync(cancellationToken).ConfigureAwait(false);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        if (_processor is { } processor)
            await processor.StopAsync(cancellationToken).ConfigureAwait(false);
        await base.StopAsync(cancellationToken).ConfigureAwait(false);
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => _processor!.Completion;

    private async ValueTask HandleAsync(MessageContext<TKey, TValue> message, CancellationToken cancellationToken)
    {
        // A scope per record, as a web host has one per request. A database context in it belongs to that record.
        var scope = scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
        {
            var handler = Create(scope.ServiceProvider);
            await (handler is IMessageContextHandler<TKey, TValue> knowing ? knowing.HandleAsync(message, cancellationToken)
                : handler.HandleAsync(message.Record, cancellationToken)).ConfigureAwait(false);
        }
    }

    /// <summary>Creates a handler at the start. What is missing in the container fails the start, and not every record.</summary>
    private async Task CreateOnceAsync()
    {
        var scope = scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
            Create(scope.ServiceProvider);
    }

    private IMessageHandler<TKey, TValue> Create(IServiceProvider services)
    {
        try
        {
            return resolve(services);
        }
        catch (Exception e)
        {
            throw new HandlerCreationException(handlerType, e);
        }
    }
}

/// <summary>A handler could not be created, so its record is not at fault.</summary>
internal sealed class HandlerCreationException(Type handler, Exception inner) : InvalidOperationException(
    $"The message handler {handler} cannot be created: {inner.Message} Register its dependencies, and check its constructor.", inner);
