using System.Buffers.Binary;

namespace OrleansMq.Tests.Benchmarks.Amqp;

/// <summary>Finds the deliveries of a channel in its frames: a method, a header with the size of the body, and the body's frames.</summary>
internal sealed class DeliveryReader
{
    private long _bodyLeft;

    /// <summary>The delivery tag of the last message.</summary>
    public long Tag { get; private set; }

    /// <summary>Takes the next frame.</summary>
    /// <returns>Whether a message is complete with it.</returns>
    /// <exception cref="InvalidOperationException">It is another method, such as a close.</exception>
    public bool Completes(AmqpFrame frame)
    {
        switch (frame.Type)
        {
            case AmqpFrame.MethodType when frame.Method == AmqpFrame.Deliver:
                var consumerTagBytes = frame.Payload[4];
                Tag = BinaryPrimitives.ReadInt64BigEndian(frame.Payload[(5 + consumerTagBytes)..]);
                return false;
            case AmqpFrame.HeaderType:
                _bodyLeft = BinaryPrimitives.ReadInt64BigEndian(frame.Payload[4..]);
                return _bodyLeft == 0;
            case AmqpFrame.BodyType:
                _bodyLeft -= frame.Payload.Length;
                return _bodyLeft == 0;
            default:
                throw new InvalidOperationException($"The broker sent no delivery but {frame.Describe()}");
        }
    }
}
