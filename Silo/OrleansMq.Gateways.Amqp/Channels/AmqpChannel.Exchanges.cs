using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

// Class exchange.
internal sealed partial class AmqpChannel
{
    private async ValueTask DeclareExchangeAsync(ExchangeDeclare declare)
    {
        if (declare.Passive)
        {
            var image = session.Image;
            if (image.Topology.CheckExchange(declare.Exchange).Refusal is not null)
                image = await session.RefreshAsync().ConfigureAwait(false);
            Check(image.Topology.CheckExchange(declare.Exchange).Refusal);
        }
        else
        {
            var arguments = Publication.ToEngine(declare.Arguments);
            Check(session.Access.CheckDeclareExchange(declare.Exchange, arguments.Text(ExchangeTypes.Alternate)));
            if (session.Image.Topology.FindExchange(declare.Exchange) is null)
                session.Mutate(declare.Durable);
            await session.SendAsync(new DeclareExchange(new ExchangeDeclaration
            {
                Name = declare.Exchange,
                Type = declare.Type,
                Durable = declare.Durable,
                AutoDelete = declare.AutoDelete,
                Internal = declare.Internal,
                Arguments = arguments,
            })).ConfigureAwait(false);
        }
        Reply(!declare.NoWait, default(ExchangeDeclareOk));
    }

    private async ValueTask DeleteExchangeAsync(ExchangeDelete delete)
    {
        Check(session.Access.CheckDeleteExchange(delete.Exchange));
        if (session.Image.Topology.FindExchange(delete.Exchange) is { } exchange)
            session.Mutate(exchange.Durable);
        await session.SendAsync(new DeleteExchange(delete.Exchange, delete.IfUnused)).ConfigureAwait(false);
        Reply(!delete.NoWait, default(ExchangeDeleteOk));
    }

    private async ValueTask BindExchangeAsync(ExchangeBind bind)
    {
        await BindAsync(new BindingRequest(bind.Source, DestinationKind.Exchange, bind.Destination, bind.RoutingKey,
            Publication.ToEngine(bind.Arguments)), isBound: true).ConfigureAwait(false);
        Reply(!bind.NoWait, default(ExchangeBindOk));
    }

    private async ValueTask UnbindExchangeAsync(ExchangeUnbind unbind)
    {
        await BindAsync(new BindingRequest(unbind.Source, DestinationKind.Exchange, unbind.Destination, unbind.RoutingKey,
            Publication.ToEngine(unbind.Arguments)), isBound: false).ConfigureAwait(false);
        Reply(!unbind.NoWait, default(ExchangeUnbindOk));
    }

    private async ValueTask BindAsync(BindingRequest request, bool isBound)
    {
        // The source decides whether its keys are limited. The image may be older than it.
        var image = session.Image;
        if (image.Topology.FindExchange(request.Source) is null)
            image = await session.RefreshAsync().ConfigureAwait(false);
        Check(session.Access.CheckBinding(request, image.Topology.FindExchange(request.Source)));
        var decision = isBound ? image.Topology.Bind(request, session.Id) : image.Topology.Unbind(request, session.Id);
        if (!decision.Edits.IsEmpty)
            session.Mutate(isDurable: !decision.WritesBefore.IsEmpty);
        await session.SendAsync(isBound ? new Bind(request, session.Id) : new Unbind(request, session.Id)).ConfigureAwait(false);
    }
}
