using System.Collections.Concurrent;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Tests.Amqp.Sockets;

/// <summary>
/// Lets guest with the password guest into <c>/</c>. Its channels know one queue: what is published comes back by basic.get, and to a
/// consumer at once. Enough for clients to talk to the wire; it is no broker.
/// </summary>
internal sealed class TestAccess : IAmqpAccess
{
    private readonly ConcurrentQueue<string> _events = new();

    /// <summary>What happened, in order.</summary>
    public IEnumerable<string> Events => _events;

    public void Note(string what) => _events.Enqueue(what);

    /// <summary>Waits before each command of a channel.</summary>
    public Func<IMethod, Task> Before { get; set; } = static _ => Task.CompletedTask;

    /// <summary>The client of the channel that was opened last.</summary>
    public IChannelClient? Client { get; private set; }

    public ValueTask<LoginResult> LoginAsync(AmqpLogin login, AmqpClient client) => new(login is { User: "guest", Password: "guest" }
        ? new LoginResult(LoginOutcome.Accepted) : new LoginResult(LoginOutcome.Refused, "wrong password"));

    public ValueTask<IAmqpSession> OpenAsync(string virtualHost, AmqpClient client) => virtualHost == "/"
        ? new(new Session(this)) : throw new AmqpException(ReplyCode.NotAllowed, $"vhost {virtualHost} not found");

    private sealed class Session(TestAccess access) : IAmqpSession
    {
        public string? EndReason => null;

        public IAmqpChannel CreateChannel(IChannelClient client)
        {
            access.Client = client;
            return new Channel(access, client);
        }

        public ValueTask<bool> UpdateSecretAsync(LongString secret, string reason) => new(true);

        public ValueTask EndAsync()
        {
            access.Note("session ended");
            return default;
        }
    }

    private sealed class Channel(TestAccess access, IChannelClient client) : IAmqpChannel
    {
        private readonly Queue<(ContentProperties Properties, byte[] Body)> _messages = new();
        private string? _consumer;
        private ulong _deliveryTag;
        private ulong _published;
        private bool _confirms;

        public ValueTask OpenAsync() => default;

        public ValueTask EndAsync()
        {
            access.Note($"channel {client.Number} ended");
            return default;
        }

        public ChannelDescription Describe() => new() { Number = client.Number };

        public async ValueTask HandleAsync(IMethod method, AmqpContent? content)
        {
            await access.Before(method);
            switch (method)
            {
                case QueueDeclare declare: client.Send(new QueueDeclareOk(declare.Queue, (uint)_messages.Count, 0)); break;
                case QueuePurge: throw new AmqpException(ReplyCode.NotFound, "no queue 'missing' in vhost '/'");
                case ConfirmSelect: _confirms = true; client.Send(default(ConfirmSelectOk)); break;
                case BasicQos: client.Send(default(BasicQosOk)); break;
                case BasicPublish: Publish(content!); break;
                case BasicGet: Get(); break;
                case BasicConsume consume:
                    _consumer = consume.ConsumerTag.Length > 0 ? consume.ConsumerTag : "amq.ctag-1";
                    client.Send(new BasicConsumeOk(_consumer));
                    Deliver();
                    break;
                case BasicCancel cancel: _consumer = null; client.Send(new BasicCancelOk(cancel.ConsumerTag)); break;
                case BasicAck ack: access.Note($"ack {ack.DeliveryTag}"); break;
                default: throw new AmqpException(ReplyCode.NotImplemented, $"'{method.Id}' is not known to this test");
            }
        }

        private void Publish(AmqpContent content)
        {
            _messages.Enqueue((new ContentProperties(content.Properties.Bytes.ToArray()), content.Body.ToArray()));
            if (_confirms)
                client.Send(new BasicAck(++_published, false));
            Deliver();
        }

        private void Get()
        {
            if (_messages.TryDequeue(out var message))
                client.Send(new BasicGetOk(++_deliveryTag, false, "", "q", (uint)_messages.Count), message.Properties, message.Body);
            else
                client.Send(default(BasicGetEmpty));
        }

        private void Deliver()
        {
            while (_consumer is { } consumer && _messages.TryDequeue(out var message))
                client.Send(new BasicDeliver(consumer, ++_deliveryTag, false, "", "q"), message.Properties, message.Body);
        }
    }
}
