using MassTransit;
using SagaState = MassTransit.State;

namespace OrleansMq.Tests.Amqp.MassTransit;

/// <summary>A request of the tests.</summary>
public sealed record Question(int Number);

/// <summary>Its response.</summary>
public sealed record Response(int Number);

/// <summary>A message of the tests.</summary>
public sealed record Work(int Number);

/// <summary>An order is placed.</summary>
public sealed record Placed(Guid OrderId);

/// <summary>An order has waited for too long.</summary>
public sealed record Expired(Guid OrderId);

/// <summary>The state of an order.</summary>
public sealed class Order : SagaStateMachineInstance
{
    public Guid CorrelationId { get; set; }

    public string State { get; set; } = "";

    public Guid? Timeout { get; set; }
}

/// <summary>A saga that schedules a message to itself.</summary>
public sealed class OrderMachine : MassTransitStateMachine<Order>
{
    private readonly TaskCompletionSource<Guid> _timedOut = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public OrderMachine()
    {
        InstanceState(static order => order.State);
        Event(() => WhenPlaced, static each => each.CorrelateById(static context => context.Message.OrderId));
        Schedule(() => Timeout, static order => order.Timeout, static schedule =>
        {
            schedule.Delay = TimeSpan.FromMilliseconds(500);
            schedule.Received = static each => each.CorrelateById(static context => context.Message.OrderId);
        });
        Initially(When(WhenPlaced).Schedule(Timeout, static context => new Expired(context.Saga.CorrelationId)).TransitionTo(Waiting));
        During(Waiting, When(Timeout.Received).Then(context => _timedOut.TrySetResult(context.Saga.CorrelationId)).Finalize());
        SetCompletedWhenFinalized();
    }

    public Task<Guid> TimedOut => _timedOut.Task;

    public SagaState Waiting { get; private set; } = null!;

    public Event<Placed> WhenPlaced { get; private set; } = null!;

    public Schedule<Order, Expired> Timeout { get; private set; } = null!;
}
